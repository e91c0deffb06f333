"""Tastes move with everybody's surprise: the same as a loop over decisions in plain numpy, in both layouts."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import chosen, make_world, network_of, on_offer

from prouter_jax.data.interactions import RATING
from prouter_jax.data.rewards import build_decisions
from prouter_jax.graph.history import read_histories
from prouter_jax.graph.schema import hide
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.latent_factors import loadings, update_latent_factors
from prouter_jax.model.likelihood import Population

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
    feedback = utility if kind == "rated" else chosen(utility, offered, rng)
    return make_world(effect, cost, user, query, offered, feedback, RATING if kind == "rated" else 0, first)


def _states(network, graph, seed=1):
    rng = np.random.default_rng(seed)
    latent_factors = rng.normal(size=(graph.layout.num("query"), LLMS, network.features.latent_factors))
    answers = rng.normal(size=(*latent_factors.shape[:2], network.features.size))
    users, population_mean = (
        rng.normal(size=(graph.layout.users, network.features.size)),
        rng.normal(size=network.features.size),
    )
    return tuple(jnp.asarray(x, jnp.float32) for x in (users, answers, latent_factors, population_mean))


def _population(network, sharpness=2.0, certainty=3.0):
    zeros = jnp.zeros(network.features.size)
    return Population(zeros, jnp.eye(network.features.size), jnp.float32(sharpness), jnp.float32(certainty))


def _moved(network, graph, states, precision=6.0):
    users, answers, latent_factors, population_mean = states
    histories = read_histories(graph)
    states = (users, answers, latent_factors)
    return np.asarray(
        update_latent_factors(
            graph, histories, network.features, _population(network), states, population_mean, precision
        )
    )


def _by_hand(network, world, visible, states, precision=6.0):
    users, answers, latent_factors, population_mean = (np.asarray(x, float) for x in states)
    columns, size = network.features, latent_factors.shape[-1]
    data = build_decisions(world.interactions, np.arange(len(world.interactions.decisions.user)))
    push, curvature = np.zeros(latent_factors.shape), np.zeros((*latent_factors.shape, size))
    for row in np.flatnonzero(visible):
        user, query = data.user[row], data.query[row]
        mine = answers[query].copy()
        if columns.shown_first:
            mine[:, columns.shown_first_index] = np.arange(LLMS) == data.first[row]
        utility, target, rating = mine @ users[user], data.target[row], data.rating[row]
        logits = np.where(data.offered[row], 2.0 * utility, -np.inf)
        share = target.sum() * np.exp(logits - np.logaddexp.reduce(logits))
        residual, weight = 2.0 * (target - share), 4.0 * share * (1 - share)
        rated = ~np.isnan(rating)
        residual += 3.0 * rated * (np.nan_to_num(rating) - utility)
        weight += 3.0 * rated
        t = (
            users[user, columns.factor_start :]
            + users[user, columns.population_index] * population_mean[columns.factor_start :]
        )
        push[query] += residual[:, None] * t
        curvature[query] += weight[:, None, None] * np.outer(t, t)
    offers = curvature.any((2, 3))[..., None]
    usual = (offers * latent_factors).sum(0) / (offers.sum(0) + 0.5)
    push -= precision * (latent_factors - usual)
    return latent_factors + 0.7 * np.linalg.solve(curvature + precision * np.eye(size), push[..., None])[..., 0]


@pytest.mark.parametrize("kind", ["own", "shared", "rated"])
def test_tastes_move_as_a_loop_over_decisions_says(kind):
    world = _world(kind)
    network, graph = network_of(world, factor_dim=2)
    assert (graph.layout.shared_queries, graph.layout.has_sides) == (kind != "own", kind == "own")
    states = _states(network, graph)
    every = np.ones(len(world.interactions.decisions.user), bool)
    expected = _by_hand(network, world, every, states)
    np.testing.assert_allclose(_moved(network, graph, states), expected, atol=5e-3)


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_what_is_hidden_moves_nothing(kind):
    world = _world(kind)
    network, graph = network_of(world, factor_dim=2)
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
    network, graph = network_of(world, factor_dim=2)
    nobody = hide(graph, dataclasses.replace(graph.visibility, decisions=np.zeros_like(graph.visibility.decisions)))
    states = _states(network, graph)
    np.testing.assert_allclose(_moved(network, nobody, states), 0.3 * np.asarray(states[2]), rtol=1e-4)


def test_a_user_is_moved_by_its_own_tastes_and_by_the_crowds():
    columns = AnswerFeatures(style=0, llm_state=0, own_columns=0, shown_first=0, population_utility=1, latent_factors=2)
    users, population_mean = (
        np.random.default_rng(0).normal(size=(3, columns.size)),
        np.arange(columns.size, dtype=float),
    )
    found = loadings(columns, jnp.asarray(users), jnp.asarray(population_mean))
    expected = (
        users[:, columns.factor_start :]
        + users[:, columns.population_index, None] * population_mean[columns.factor_start :]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    alone = AnswerFeatures(style=0, llm_state=1, own_columns=0, shown_first=0, population_utility=0, latent_factors=2)
    np.testing.assert_allclose(
        loadings(alone, jnp.asarray(users), jnp.asarray(population_mean)), users[:, -2:], rtol=1e-6
    )
