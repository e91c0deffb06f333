"""Rounds of messages: names do not matter, what is hidden is not there, and what was planted is found."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import (
    NAN,
    Facts,
    chosen,
    make_world,
    network_of,
    on_offer,
    one_round,
    rounds,
    some_facts,
    without_decisions_of,
)

from prouter_jax.data.interactions import RATING
from prouter_jax.graph import build as graph_build_history
from prouter_jax.graph.schema import hide
from prouter_jax.model.answer_features import COST, EFFECT
from prouter_jax.model.prior import prior_mean

FACTS = some_facts(queries=60)
SHARED = some_facts(queries=12, each=12)
SMALL = {"factor_dim": 2, "warmup_rounds": 1}


@functools.partial(jax.jit, static_argnums=0)
def _read(network, params, graph):
    rounds = network.bind(params)
    return rounds.read_users(graph, rounds.answers(graph))


def _users(network, graph, params):
    return np.asarray(_read(network, params, graph))[: network.users]


def _liking(network, graph, params):
    """What every user thinks of every answer, [users, queries, llms]."""
    answers = np.asarray(network.bind(params).answers(graph))
    return np.einsum("up,qlp->uql", _users(network, graph, params), answers)


def _whole(network, params, theta):
    """Users' weights with the crowd's liking written out, [users, properties]."""
    return theta + theta[:, [network.features.population_index]] * np.asarray(params["population_mean"])


def _start(network, queries=slice(None), llms=slice(None)):
    """Fresh parameters whose tastes are those of an unchanged world, in another order."""
    params = network.init(jax.random.key(0))
    return params | {"latent_factors": params["latent_factors"][queries][:, llms]}


# ---- Names and layouts.


@pytest.mark.parametrize("facts", [FACTS, SHARED], ids=["own", "shared"])
@pytest.mark.parametrize("what", ["users", "queries", "llms"])
def test_another_order_gives_the_same_in_that_order(what, facts):
    sizes = {"users": 6, "queries": len(facts.effect), "llms": 4}
    order = np.roll(np.arange(sizes[what]), 1)
    place, every = np.argsort(order), slice(None)
    if what == "users":
        world = facts.world(user=place[facts.user])
    elif what == "queries":
        world = facts.world(effect=facts.effect[order], cost=facts.cost[order], query=place[facts.query])
    else:
        changed = {name: getattr(facts, name)[:, order] for name in ("effect", "cost", "offered", "feedback")}
        world = facts.world(**changed)
    network, graph = network_of(facts.world(), **SMALL)
    other, its_graph = network_of(world, **SMALL)
    assert other == network
    before = _liking(network, graph, rounds(network, graph, 4, _start(network)))
    orders = {name: order if name == what else every for name in ("queries", "llms")}
    after = _liking(other, its_graph, rounds(other, its_graph, 4, _start(other, **orders)))
    axis = ("users", "queries", "llms").index(what)
    np.testing.assert_allclose(after, np.take(before, order, axis), atol=2e-2)
    assert np.abs(after - before).max() > 0.2


def test_both_layouts_of_a_history_say_the_same(monkeypatch):
    first, shared = network_of(SHARED.world(), **SMALL)
    monkeypatch.setattr(graph_build_history, "_FULL_ENOUGH", 2.0)
    second, own = network_of(SHARED.world(), **SMALL)
    assert (shared.layout.shared_queries, own.layout.shared_queries) == (True, False)
    for name, value in rounds(first, shared, 3).items():
        np.testing.assert_allclose(value, rounds(second, own, 3)[name], atol=5e-3, err_msg=name)


# ---- Histories.


def test_a_user_without_history_is_a_stranger():
    network, graph = network_of(without_decisions_of(FACTS.world(), 2), **SMALL)
    params = rounds(network, graph, 4)
    found, cold_start_user = (
        _users(network, graph, params),
        np.asarray(prior_mean(network.features, params["population_mean"])),
    )
    np.testing.assert_allclose(found[2], cold_start_user, atol=1e-4)
    assert (np.abs(found - cold_start_user).max(1)[[0, 1, 3, 4, 5]] > 0.05).all()


@pytest.mark.parametrize("facts", [FACTS, SHARED], ids=["own", "shared"])
def test_what_is_hidden_has_no_influence_at_all(facts):
    """Whatever the hidden decisions said, every number after some rounds is the same to the last bit."""
    rng = np.random.default_rng(2)
    lied = np.arange(len(facts.user)) % 3 == 0
    other = chosen(rng.normal(size=facts.feedback.shape), facts.offered, rng)
    changed = np.where(lied[:, None], other, facts.feedback)
    assert (changed != facts.feedback).any(1).sum() > 3
    place = np.arange(len(facts.user)) - np.searchsorted(facts.user, facts.user)
    place = facts.query if facts is SHARED else place
    found = []
    for feedback in (facts.feedback, changed):
        network, graph = network_of(facts.world(feedback=feedback), **SMALL)
        visible = graph.visibility.decisions.copy()
        visible[facts.user[lied], place[lied]] = 0
        some = hide(graph, dataclasses.replace(graph.visibility, decisions=visible))
        params = rounds(network, some, 3)
        found.append(params | {"read": _users(network, some, params)})
    jax.tree.map(np.testing.assert_array_equal, *found)
    network, graph = network_of(facts.world(feedback=changed), **SMALL)
    assert np.abs(rounds(network, graph, 3)["users"] - found[1]["users"]).max() > 0.01


@pytest.mark.parametrize("facts", [FACTS, SHARED], ids=["own", "shared"])
def test_every_decision_on_offer_is_counted_once(facts):
    network, graph = network_of(facts.world(), **SMALL)
    assert graph.layout.shared_queries == (facts is SHARED)
    np.testing.assert_array_equal(rounds(network, graph, 1)["llm_offers"], facts.offered.sum(0))


def test_tastes_wait_until_the_rest_is_known():
    network, graph = network_of(FACTS.world(), factor_dim=2, warmup_rounds=3)
    fresh = network.init(jax.random.key(0))
    np.testing.assert_array_equal(rounds(network, graph, 3)["latent_factors"], fresh["latent_factors"])
    assert np.abs(rounds(network, graph, 4)["latent_factors"] - fresh["latent_factors"]).max() > 0.01


# ---- What was planted.

USERS, QUERIES, LLMS = 40, 48, 4


def _everybody(rng, share=1.0):
    pairs = np.array([(u, q) for u in range(USERS) for q in range(QUERIES) if rng.random() < share])
    return pairs.T


@pytest.fixture(scope="module")
def planted():
    """Users with two tastes of their own, which no text and no number shows: (facts of half the pairs, truth)."""
    rng = np.random.default_rng(3)
    liked, hidden = rng.normal(size=(USERS, 2)), rng.normal(size=(QUERIES, LLMS, 2))
    truth = 2 * np.einsum("ut,qlt->uql", liked, hidden)
    user, query = _everybody(rng, 0.6)
    offered = np.ones((len(user), LLMS), bool)
    feedback = chosen(truth[user, query], offered, rng)
    nothing = np.full((QUERIES, LLMS), NAN)
    return Facts(nothing, nothing, user, query, offered, feedback), truth


def _right_on_unseen(facts, truth, **model):
    network, graph = network_of(facts.world(), **model)
    feedback_weights = _liking(network, graph, rounds(network, graph, 16))[:, :QUERIES]
    unseen = np.ones((USERS, QUERIES), bool)
    unseen[facts.user, facts.query] = False
    return (feedback_weights.argmax(-1) == truth.argmax(-1))[unseen].mean()


def test_tastes_that_nothing_shows_are_found(planted):
    facts, truth = planted
    without, right = (_right_on_unseen(facts, truth, factor_dim=size) for size in (0, 2))
    assert right > 0.65
    assert right > without + 0.2


@pytest.mark.parametrize("bias", [0.0, 1.5])
def test_a_side_that_everybody_favours_is_found(bias):
    rng = np.random.default_rng(4)
    effect = rng.random((QUERIES, LLMS))
    user, query = _everybody(rng, 0.4)
    offered = on_offer(len(user), LLMS, 2, rng)
    first = np.array([rng.choice(np.flatnonzero(row)) for row in offered])
    own = bias + 0.3 * rng.normal(size=USERS) * (bias > 0)
    utility = 3 * effect[query] + own[user, None] * (first[:, None] == np.arange(LLMS))
    world = make_world(effect, NAN * effect, user, query, offered, chosen(utility, offered, rng), first=first)
    network, graph = network_of(world, factor_dim=0)
    params = rounds(network, graph, 64)
    assert params["population_mean"][network.features.shown_first_index] == pytest.approx(bias, abs=0.3)
    theta = _users(network, graph, params)
    assert theta[:, network.features.shown_first_index].mean() == pytest.approx(bias, abs=0.3)
    assert _whole(network, params, theta)[:, EFFECT].mean() == pytest.approx(3, abs=0.5)


def test_ratings_show_what_users_weigh_and_how_exactly_they_rate():
    rng = np.random.default_rng(5)
    effect, cost = rng.random((2, QUERIES, LLMS))
    weights = np.stack([0.5 + rng.random(USERS), -0.2 - rng.random(USERS)], 1)
    user, query = _everybody(rng, 0.5)
    utility = np.einsum("dk,dlk->dl", weights[user], np.stack([effect, cost], -1)[query])
    feedback, offered = utility + 0.3 * rng.normal(size=utility.shape), np.ones(utility.shape, bool)
    world = make_world(effect, cost, user, query, offered, feedback, RATING)
    network, graph = network_of(world, factor_dim=0)
    params = rounds(network, graph, 20)
    assert float(jnp.exp(params["log_noise"])) == pytest.approx(0.3, rel=0.2)
    found = _whole(network, params, _users(network, graph, params))
    assert np.corrcoef(found[:, EFFECT], weights[:, 0])[0, 1] > 0.9
    assert np.corrcoef(found[:, COST], weights[:, 1])[0, 1] > 0.9


def test_the_longer_the_better_what_was_said_is_told(planted):
    network, graph = network_of(planted[0].world(), factor_dim=2)
    params, losses = network.init(jax.random.key(0)), []
    for at in range(16):
        params, metrics = one_round(network, params, graph, jnp.int32(at))
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(np.log(LLMS), rel=0.05)
    assert losses[-1] < 0.7 * losses[0]
