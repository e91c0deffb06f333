"""Tastes move with everybody's surprise: the same as a loop over decisions in plain numpy, in both layouts."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from bayes_cases import chosen, make_world, network_of, on_offer

from prouter_jax.data.interactions import RATING
from prouter_jax.data.rewards import build_decisions
from prouter_jax.graph.history import read_histories
from prouter_jax.graph.schema import hide
from prouter_jax.model.answer_features import Columns
from prouter_jax.model.latent_factors import loadings, move_tastes
from prouter_jax.model.posterior import Population

USERS, QUERIES, LLMS = 5, 8, 4


def _world(kind):
    """`own`: each user on some queries, sides known; `shared`: all on all; `rated`: all rate all."""
    rng = np.random.default_rng(0)
    pairs = np.array([(u, q) for u in range(USERS) for q in range(QUERIES) if kind != "own" or rng.random() < 0.4])
    user, query = pairs.T
    offered = on_offer(len(user), LLMS, 3 if kind != "rated" else LLMS, rng)
    utility = rng.normal(size=offered.shape)
    effect, cost = rng.random((2, QUERIES, LLMS))
    first = np.array([rng.choice(np.flatnonzero(row)) for row in offered]) if kind == "own" else None
    said = utility if kind == "rated" else chosen(utility, offered, rng)
    return make_world(effect, cost, user, query, offered, said, RATING if kind == "rated" else 0, first)


def _states(network, graph, seed=1):
    rng = np.random.default_rng(seed)
    tastes = rng.normal(size=(graph.layout.num("query"), LLMS, network.columns.tastes))
    answers = rng.normal(size=(*tastes.shape[:2], network.columns.size))
    users, crowd = rng.normal(size=(graph.layout.users, network.columns.size)), rng.normal(size=network.columns.size)
    return tuple(jnp.asarray(x, jnp.float32) for x in (users, answers, tastes, crowd))


def _population(network, sharpness=2.0, certainty=3.0):
    zeros = jnp.zeros(network.columns.size)
    return Population(zeros, jnp.eye(network.columns.size), jnp.float32(sharpness), jnp.float32(certainty))


def _moved(network, graph, states, precision=6.0):
    users, answers, tastes, crowd = states
    histories = read_histories(graph)
    states = (users, answers, tastes)
    return np.asarray(move_tastes(graph, histories, network.columns, _population(network), states, crowd, precision))


def _by_hand(network, world, visible, states, precision=6.0):
    users, answers, tastes, crowd = (np.asarray(x, float) for x in states)
    columns, size = network.columns, tastes.shape[-1]
    data = build_decisions(world.interactions, np.arange(len(world.interactions.decisions.user)))
    push, curvature = np.zeros(tastes.shape), np.zeros((*tastes.shape, size))
    for row in np.flatnonzero(visible):
        user, query = data.user[row], data.query[row]
        mine = answers[query].copy()
        if columns.sides:
            mine[:, columns.side] = np.arange(LLMS) == data.first[row]
        utility, target, rating = mine @ users[user], data.target[row], data.rating[row]
        logits = np.where(data.offered[row], 2.0 * utility, -np.inf)
        share = target.sum() * np.exp(logits - np.logaddexp.reduce(logits))
        surprise, weight = 2.0 * (target - share), 4.0 * share * (1 - share)
        rated = ~np.isnan(rating)
        surprise += 3.0 * rated * (np.nan_to_num(rating) - utility)
        weight += 3.0 * rated
        t = users[user, columns.tastes_at :] + users[user, columns.crowd_at] * crowd[columns.tastes_at :]
        push[query] += surprise[:, None] * t
        curvature[query] += weight[:, None, None] * np.outer(t, t)
    met = curvature.any((2, 3))[..., None]
    usual = (met * tastes).sum(0) / (met.sum(0) + 0.5)
    push -= precision * (tastes - usual)
    return tastes + 0.7 * np.linalg.solve(curvature + precision * np.eye(size), push[..., None])[..., 0]


@pytest.mark.parametrize("kind", ["own", "shared", "rated"])
def test_tastes_move_as_a_loop_over_decisions_says(kind):
    world = _world(kind)
    network, graph = network_of(world, taste_dim=2)
    assert (graph.layout.shared_queries, graph.layout.has_sides) == (kind != "own", kind == "own")
    states = _states(network, graph)
    every = np.ones(len(world.interactions.decisions.user), bool)
    expected = _by_hand(network, world, every, states)
    np.testing.assert_allclose(_moved(network, graph, states), expected, atol=5e-3)


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_what_is_hidden_moves_nothing(kind):
    world = _world(kind)
    network, graph = network_of(world, taste_dim=2)
    mask = (np.random.default_rng(2).random(graph.visibility.decisions.shape) < 0.5).astype(np.float32)
    seen = hide(graph, dataclasses.replace(graph.visibility, decisions=mask))
    states, decisions = _states(network, graph), world.interactions.decisions
    place = np.arange(len(decisions.user)) - np.searchsorted(decisions.user, decisions.user)
    place = decisions.query if kind == "shared" else place
    visible = mask[decisions.user, place] > 0
    assert 0 < visible.sum() < len(visible)
    np.testing.assert_allclose(_moved(network, seen, states), _by_hand(network, world, visible, states), atol=5e-3)


def test_tastes_of_which_nobody_speaks_fall_back():
    world = _world("own")
    network, graph = network_of(world, taste_dim=2)
    nobody = hide(graph, dataclasses.replace(graph.visibility, decisions=np.zeros_like(graph.visibility.decisions)))
    states = _states(network, graph)
    np.testing.assert_allclose(_moved(network, nobody, states), 0.3 * np.asarray(states[2]), rtol=1e-4)


def test_a_user_is_moved_by_its_own_tastes_and_by_the_crowds():
    columns = Columns(style=0, llms=0, sides=0, crowd=1, tastes=2)
    users, crowd = np.random.default_rng(0).normal(size=(3, columns.size)), np.arange(columns.size, dtype=float)
    found = loadings(columns, jnp.asarray(users), jnp.asarray(crowd))
    expected = users[:, columns.tastes_at :] + users[:, columns.crowd_at, None] * crowd[columns.tastes_at :]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    alone = Columns(style=0, llms=1, sides=0, crowd=0, tastes=2)
    np.testing.assert_allclose(loadings(alone, jnp.asarray(users), jnp.asarray(crowd)), users[:, -2:], rtol=1e-6)
