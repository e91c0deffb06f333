"""Where the properties of answers stand, and what fills them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import NAN, make_world, network_of

from prouter_jax.data.rewards import outcome_matrices
from prouter_jax.graph.schema import hide
from prouter_jax.model.answer_features import (
    COST,
    EFFECT,
    AnswerFeatures,
    assemble,
    mean_errors,
    measured,
    task_means,
    tasks_of,
)


@pytest.fixture(scope="module")
def world():
    """Five queries, three LLMs, some answers not measured; style of two features."""
    rng = np.random.default_rng(0)
    effect, cost = rng.random((2, 5, 3))
    effect[1, 2], cost[3, 0], effect[4], cost[4] = NAN, NAN, NAN, NAN
    every = np.ones((4, 3), bool)
    feedback = np.eye(3)[[0, 1, 2, 0]]
    style = rng.normal(size=(5, 3, 2))
    style[2, 1] = NAN
    return make_world(effect, cost, np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), every, feedback, style=style)


@pytest.mark.parametrize("sizes", [(2, 3, 0, 1, 1, 4), (0, 3, 2, 0, 1, 0), (2, 0, 0, 1, 0, 2), (0,) * 6])
def test_columns_stand_one_after_the_other(sizes):
    columns = AnswerFeatures(*sizes)
    style, state, own, sides, population_mean, latent_factors = sizes
    assert columns.size == 3 + sum(sizes)
    assert columns.llm_start == 3 + style
    assert columns.shown_first_index == columns.llm_start + state + own
    assert columns.population_index == columns.shown_first_index + sides
    assert columns.factor_start == columns.population_index + population_mean == columns.size - latent_factors


def test_what_was_measured_is_there_and_gaps_are_told(world):
    graph = world.build_graph()
    values, known = map(np.asarray, measured(graph))
    effect, cost = outcome_matrices(world.interactions, world.scale)
    style = np.asarray(graph.style)
    expected = np.concatenate([np.stack([effect, cost], -1), style[:5]], -1)
    np.testing.assert_array_equal(known[:5], ~np.isnan(expected))
    np.testing.assert_allclose(values[:5], np.nan_to_num(expected), atol=1e-6)
    assert not known[5:].any()


def test_nothing_of_a_hidden_query_was_measured(world):
    graph = world.build_graph()
    mask = graph.visibility.outcomes.copy()
    mask[1] = 0
    values, known = measured(hide(graph, dataclasses.replace(graph.visibility, outcomes=mask)))
    assert not np.asarray(values)[1].any()
    assert not np.asarray(known)[1].any()
    assert np.asarray(known)[0].any()


def test_means_are_pulled_from_the_task_to_the_llm_to_all():
    """(sum + weight * broader mean) / (count + weight): 3 for an LLM, 20 for its task."""
    rng = np.random.default_rng(0)
    values, known = rng.normal(size=(7, 2, 1)), (rng.random((7, 2, 1)) < 0.7).astype(float)
    task = np.array([0, 0, 1, 1, 1, 2, 2])
    found = np.asarray(task_means(jnp.asarray(values), jnp.asarray(known), jnp.asarray(task), 2))
    everybody = (values * known).sum() / known.sum()
    for llm in range(2):
        of_llm, seen = values[:, llm, 0], known[:, llm, 0]
        overall = (seen @ of_llm + 3 * everybody) / (seen.sum() + 3)
        assert found[2, llm, 0] == pytest.approx(overall, abs=1e-5)
        for number in range(2):
            at = (task == number) * seen
            assert found[number, llm, 0] == pytest.approx((at @ of_llm + 20 * overall) / (at.sum() + 20), abs=1e-5)


def test_an_llm_of_which_nothing_is_known_is_like_all():
    values, known = np.ones((4, 2, 1)), np.array([1.0, 0.0] * 4).reshape(4, 2, 1)
    found = task_means(jnp.asarray(values), jnp.asarray(known), jnp.zeros(4, int), 1)
    np.testing.assert_allclose(found, 1)


def test_means_of_few_observations_may_be_off_by_what_llms_differ_by():
    rng = np.random.default_rng(1)
    values, known = rng.normal(size=(50, 4)), np.ones((50, 4))
    known[:, 3] = 0
    usual = np.array([1.0, 1, 0, 0])
    spread = np.abs(values[:, 0].mean() - values[:, 1].mean()) / 2
    for count in (0, 1, 9):
        known[:count, 3] = 1
        found = np.asarray(mean_errors(*map(jnp.asarray, (values, known, usual))))
        expected = spread * np.sqrt(3 / (np.array([50, 50, 50, count]) + 3))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_llm_never_observed_does_not_tell_what_llms_differ_by():
    values, known = np.ones((3, 2)), np.array([[1.0, 0.0]] * 3)
    np.testing.assert_array_equal(mean_errors(jnp.asarray(values), jnp.asarray(known), jnp.ones(2)), 0)


def test_a_query_without_a_task_belongs_to_none(dataset):
    graph = dataset.world.build_graph()
    task = np.asarray(tasks_of(graph))
    known = dataset.world.interactions.queries.task
    np.testing.assert_array_equal(task[: len(known)], np.where(known < 0, graph.layout.num("task"), known))
    assert (task[len(known) :] == graph.layout.num("task")).all()


def test_a_row_holds_every_kind_and_the_crowds_liking_of_the_rest():
    columns = AnswerFeatures(style=1, llm_state=2, own_columns=0, shown_first=1, population_utility=1, latent_factors=2)
    rng = np.random.default_rng(0)
    values, latent_factors, population_mean = (
        rng.normal(size=(3, 2, 3)),
        rng.normal(size=(3, 2, 2)),
        rng.normal(size=columns.size),
    )
    states = np.eye(2)
    rows = np.asarray(assemble(columns, *map(jnp.asarray, (values, latent_factors, population_mean, states))))
    np.testing.assert_allclose(rows[..., [EFFECT, COST]], values[..., :2], rtol=1e-6)
    np.testing.assert_array_equal(rows[..., 2], 1)
    np.testing.assert_allclose(rows[..., 3], values[..., 2], rtol=1e-6)
    np.testing.assert_array_equal(rows[..., columns.llm_start : columns.shown_first_index], np.tile(states, (3, 1, 1)))
    np.testing.assert_array_equal(rows[..., columns.shown_first_index], 0)
    np.testing.assert_allclose(rows[..., columns.factor_start :], latent_factors, rtol=1e-6)
    rest = rows.copy()
    rest[..., columns.population_index] = 0
    np.testing.assert_allclose(rows[..., columns.population_index], rest @ population_mean, rtol=1e-4)


def test_the_network_fills_gaps_with_means_and_pads_with_them_too(world):
    network, graph = network_of(world, factor_dim=0)
    params = network.init(jax.random.key(0))
    answers = np.asarray(network.bind(params).answers(graph))
    values, known = map(np.asarray, measured(graph))
    means = np.asarray(task_means(*map(jnp.asarray, (values, known)), tasks_of(graph), 1))[-1]
    np.testing.assert_allclose(answers[4, :, EFFECT], means[:, 0], rtol=1e-5)
    np.testing.assert_allclose(answers[3, 0, COST], means[0, 1], rtol=1e-5)
    np.testing.assert_allclose(answers[3, 1, COST], values[3, 1, 1], rtol=1e-5)
