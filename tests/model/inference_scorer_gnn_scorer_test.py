"""The paper's network in a world: new users, queries and LLMs, what they cost, and prices that change."""

import dataclasses

import numpy as np
import pytest
from graph_network_cases import SMALL, noisy, small

from prouter_jax.data import interactions as tables
from prouter_jax.data.query_features import make_query_features
from prouter_jax.data.rewards import outcome_matrices
from prouter_jax.data.validation import validate
from prouter_jax.graph.world import only_users
from prouter_jax.model.inference import apply_network, make_scorer


@pytest.fixture(scope="module")
def network(dataset):
    return small(dataset.world.build_graph())


def _scorer(network, world, price_factor=None):
    return make_scorer(network, noisy(network), world, world.build_graph(), SMALL, price_factor)


def _twin(table):
    """A table with its first row once more, under another name."""
    longer = tables.take(table, np.append(np.arange(len(table.ids)), 0))
    return dataclasses.replace(longer, ids=np.append(table.ids, "twin"))


def _with_twins(world):
    """The world with a second user, query and LLM like the first of each; nobody asked the second query."""
    data = world.interactions
    own = np.flatnonzero(data.decisions.user == 0)
    number = len(data.decisions.user)
    decisions = tables.take(data.decisions, np.append(np.arange(number), own))
    user, ids = decisions.user.copy(), decisions.ids.copy()
    user[number:], ids[number:] = len(data.users.ids), [f"twin {row}" for row in own]
    place = np.full(number, -1)
    place[own] = number + np.arange(len(own))
    told = tables.take(data.feedback, data.decisions.user[data.feedback.decision] == 0)
    told = dataclasses.replace(told, decision=place[told.decision].astype(np.int32))
    answered = tables.take(data.outcomes, data.outcomes.llm == 0)
    answered = dataclasses.replace(answered, llm=np.full_like(answered.llm, len(data.llms.ids)))
    grown = data.replace(
        users=_twin(data.users),
        queries=_twin(data.queries),
        llms=_twin(data.llms),
        outcomes=tables.concatenate([data.outcomes, answered]),
        offers=np.pad(data.offers, ((0, 0), (0, 1))),
        decisions=dataclasses.replace(decisions, user=user, ids=ids),
        feedback=tables.concatenate([data.feedback, told]),
    )
    rows = np.append(np.arange(len(data.queries.ids)), 0)
    vectors = world.vectors.of_queries(rows)
    vectors = dataclasses.replace(vectors, llm=np.concatenate([vectors.llm, vectors.llm[:1]]))
    return dataclasses.replace(world, interactions=validate(grown), vectors=vectors)


def test_newcomers_like_known_ones_are_judged_like_them(dataset, network):
    world = _with_twins(dataset.world)
    found = apply_network(network, noisy(network), world, world.build_graph(), SMALL)
    assert found.users.shape[0] == 7
    assert found.answers.shape[:2] == found.cost.shape == (len(world.interactions.queries.ids), 5)
    np.testing.assert_allclose(found.users[6], found.users[0], atol=1e-5)
    assert np.abs(found.users[6] - found.cold_start_user).max() > 1e-2
    np.testing.assert_allclose(found.answers[:, 4], found.answers[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.answers[-1], found.answers[0], atol=1e-5)
    assert np.abs(found.answers[:, 4] - found.answers[:, 1]).max() > 0.1


def test_new_queries_are_judged_as_known_ones_of_the_same_text(dataset, network):
    scorer, vectors, data = _scorer(network, dataset.world), dataset.world.vectors, dataset.world.interactions
    asked = scorer.ask(make_query_features(vectors.query, vectors.query_style, data.queries.task, 3))
    np.testing.assert_allclose(asked.answers, scorer.answers, atol=1e-5)
    lost = scorer.ask(make_query_features(vectors.query, vectors.query_style, np.full_like(data.queries.task, -1), 3))
    assert np.abs(lost.answers - asked.answers).max() > 0.05


def test_costs_are_those_observed_else_the_means_of_the_task(dataset, network):
    data = dataset.world.interactions
    some = dataclasses.replace(dataset.world, interactions=data.replace(outcomes=tables.take(data.outcomes, slice(9))))
    for world in (dataset.world, some):
        cost = outcome_matrices(world.interactions, world.scale)[1]
        known = ~np.isnan(cost)
        scorer = _scorer(network, world)
        np.testing.assert_allclose(scorer.cost[known], cost[known], atol=1e-5)
        foreseen = scorer.ask(
            make_query_features(world.vectors.query, world.vectors.query_style, data.queries.task, 3)
        ).cost
        np.testing.assert_allclose(scorer.cost[~known], foreseen[~known], atol=1e-6)
        assert np.isfinite(foreseen).all()
        for row in range(3):
            assert np.ptp(foreseen[data.queries.task == row], axis=0).max() == 0
    assert (~known).any()


def test_a_price_that_doubles_doubles_the_expected_cost_of_its_llm(dataset, network):
    world = dataset.world
    before, after = (_scorer(network, world, factor) for factor in (None, np.array([1, 2.0, 1, 1])))
    np.testing.assert_array_equal(before.answers, after.answers)
    task = world.interactions.queries.task
    places = make_query_features(world.vectors.query, world.vectors.query_style, task, 3)
    for old, new in ((before.cost, after.cost), (before.ask(places).cost, after.ask(places).cost)):
        np.testing.assert_array_equal(old[:, [0, 2, 3]], new[:, [0, 2, 3]])
        dollars = [world.scale.unscale(x[:, 1].astype(float), task) for x in (old, new)]
        np.testing.assert_allclose(dollars[1], 2 * dollars[0], rtol=1e-3)


def test_users_are_read_alike_whoever_else_is_there(dataset, network):
    """What `Router.with_history` builds on."""
    world = dataset.world
    alone = dataclasses.replace(world, interactions=only_users(world.interactions, np.array([2, 4])))
    np.testing.assert_allclose(_scorer(network, alone).users, _scorer(network, world).users[[2, 4]], atol=1e-5)
