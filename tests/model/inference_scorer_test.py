"""The default network applied to a world: what is expected of new queries, prices of today, strangers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import network_of, rounds, some_facts, without_decisions_of

from prouter_jax.config import Model, QueryKernel
from prouter_jax.data.query_features import make_query_features
from prouter_jax.model.answer_features import COST, task_means
from prouter_jax.model.inference import make_scorer
from prouter_jax.model.network import Architecture
from prouter_jax.model.prior import prior_mean

MODEL = Model(factor_dim=2, warmup_rounds=1, query_kernel=QueryKernel(text=0.05, style=0.0, task=0.1, noise=0.5))
FACTS = some_facts(queries=30)


@pytest.fixture(scope="module")
def trained():
    """A world where user 2 said nothing, and its network after some rounds."""
    world = without_decisions_of(FACTS.world(), 2)
    network, graph = network_of(world, factor_dim=2, warmup_rounds=1)
    return world, network, graph, rounds(network, graph, 5)


def _scorer(trained, factor=None, **model):
    world, network, graph, params = trained
    factor = np.ones(4) if factor is None else factor
    model = dataclasses.replace(MODEL, **model)
    return make_scorer(Architecture(rounds=network), params, world, graph, model, factor)


def _places(world, vectors):
    style = np.zeros((len(vectors), world.vectors.query_style.shape[1]))
    return make_query_features(vectors, style, np.full(len(vectors), -1), 0)


def test_users_and_answers_are_those_of_the_network(trained):
    world, network, graph, params = trained
    scorer = _scorer(trained)
    rounds = network.bind(params)
    answers = rounds.answers(graph)
    np.testing.assert_allclose(scorer.answers, answers[:30], atol=1e-5)
    read = jax.jit(rounds.read_users)(graph, answers)
    np.testing.assert_allclose(scorer.users, read[:6], atol=1e-4)
    assert scorer.users.shape == (6, network.features.size)
    np.testing.assert_array_equal(scorer.cost, scorer.answers[..., COST])
    assert scorer.side is None
    assert len(world.interactions.users.ids) == 6


def test_a_user_without_history_is_the_stranger(trained):
    _, network, _, params = trained
    scorer = _scorer(trained)
    np.testing.assert_allclose(
        scorer.cold_start_user, prior_mean(network.features, params["population_mean"]), atol=1e-6
    )
    np.testing.assert_array_equal(scorer.users[2], scorer.cold_start_user)
    assert (np.abs(scorer.users - scorer.cold_start_user).max(1)[[0, 1, 3, 4, 5]] > 0.05).all()


def test_a_stranger_of_utilities_is_the_mean_of_users_of_one_size(trained):
    scorer = _scorer(trained, unseen_queries="utility")
    known = np.delete(np.asarray(trained[3]["users"]), 2, 0)
    expected = (known / np.linalg.norm(known, axis=1, keepdims=True)).mean(0)
    np.testing.assert_allclose(scorer.cold_start_user, expected, rtol=1e-5)
    np.testing.assert_array_equal(scorer.users[2], scorer.cold_start_user)
    assert scorer.ask(_places(trained[0], trained[0].vectors.query)).kernel is None
    assert scorer.unseen_queries is None


def test_new_answers_are_expected_to_be_as_those_near_by(trained):
    """The mean of the LLM, and a ridge in the kernel of texts of what the known answers are beside it."""
    world, scorer = trained[0], _scorer(trained)
    known = world.vectors.query
    new = known[:3] + 0.3 * np.random.default_rng(0).normal(size=(3, known.shape[1]))
    found, cost, _ = scorer.predict(_places(world, new))
    ones = jnp.ones_like(jnp.asarray(scorer.answers))
    mean = np.asarray(task_means(jnp.asarray(scorer.answers), ones, jnp.zeros(30, int), 1))[-1]

    def kernel(first, second):
        return np.exp(-0.05 * ((first[:, None] - second[None]) ** 2).sum(-1))

    beside = (scorer.answers - mean).reshape(30, -1)
    told = kernel(new, known) @ np.linalg.solve(kernel(known, known) + 0.5 * np.eye(30), beside)
    np.testing.assert_allclose(found, mean + told.reshape(3, 4, -1), atol=2e-3)
    np.testing.assert_array_equal(cost, found[..., COST])
    assert np.abs(told).max() > 0.1


def test_a_text_unlike_any_other_gets_the_mean_answer(trained):
    world, scorer = trained[0], _scorer(trained)
    far = np.full((1, world.vectors.query.shape[1]), 1e3)
    ones = jnp.ones_like(jnp.asarray(scorer.answers))
    mean = task_means(jnp.asarray(scorer.answers), ones, jnp.zeros(30, int), 1)[-1]
    np.testing.assert_allclose(scorer.predict(_places(world, far))[0][0], mean, atol=1e-5)


def test_prices_of_today_move_costs_alone(trained):
    world, plain = trained[0], _scorer(trained)
    dearer = _scorer(trained, np.array([1.0, 2.0, 1.0, 1.0]))
    task = np.full((30, 1), -1)
    usd, now = (world.scale.unscale(scorer.cost, task) for scorer in (plain, dearer))
    np.testing.assert_allclose(now, usd * [1, 2, 1, 1], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(dearer.cost[:, [0, 2, 3]], plain.cost[:, [0, 2, 3]])
    np.testing.assert_array_equal(np.delete(dearer.answers, COST, -1), np.delete(plain.answers, COST, -1))
    np.testing.assert_array_equal(dearer.users, plain.users)
    places = _places(world, world.vectors.query[:4])
    before, after = (world.scale.unscale(scorer.predict(places)[1], task[:4]) for scorer in (plain, dearer))
    np.testing.assert_allclose(after, before * [1, 2, 1, 1], rtol=1e-3, atol=1e-6)


def test_what_other_users_said_does_not_matter_to_one_who_is_read(trained):
    """With the same population, a user's state comes from its own history."""
    world, network, _, params = trained
    less = without_decisions_of(world, 5)
    graph = less.build_graph()
    other = make_scorer(Architecture(rounds=network), params, less, graph, MODEL)
    np.testing.assert_allclose(other.users[[0, 1, 3, 4]], _scorer(trained).users[[0, 1, 3, 4]], atol=1e-4)
    np.testing.assert_array_equal(other.users[5], other.cold_start_user)
    assert jax.tree.all(jax.tree.map(lambda x: np.isfinite(x).all(), other.users))
