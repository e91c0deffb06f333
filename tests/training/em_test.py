"""Minibatch EM gives the statistics and updates of a round over all users."""

import copy
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.config import Mesh
from prouter_jax.data.batches import Batches, Input
from prouter_jax.data.history_store import build_store
from prouter_jax.graph.history import read_histories, with_batch
from prouter_jax.model.latent_factors import update_latent_factors
from prouter_jax.model.prior import second_moments
from prouter_jax.sharding import make_mesh
from prouter_jax.training import minibatch_em
from prouter_jax.training.run import initial_state as first_state
from prouter_jax.training.run import make_run, make_train_step
from prouter_jax.training.step import EM
from prouter_jax.training.validation import validate

ROUND = 5  # after the warm-up


def _batches(dataset, users):
    """All users, so many at a time."""
    data = dataset.world.interactions
    batches = Batches(build_store(data), np.arange(len(data.queries.ids)), users, 32, 0)
    return [batches.rows(step, 0, users) for step in range(batches.steps)]


def _sums(dataset, network, params, batches):
    rounds = network.bind(params)
    answers, population = rounds.answers(dataset.world.build_graph()), rounds.population()
    statistics_of = jax.jit(minibatch_em.batch_statistics, static_argnums=0)
    found = [statistics_of(network, population, params["population_mean"], answers, batch) for batch in batches]
    return jax.tree.map(lambda *parts: sum(parts), *[statistics for statistics, _, _ in found]), found


def test_statistics_of_batches_add_up_to_those_of_all_users(dataset, network, params):
    network = network.rounds
    whole, _ = _sums(dataset, network, params, _batches(dataset, 6))
    for users in (2, 4):  # the second batch of four is padded with empty users
        parts, _ = _sums(dataset, network, params, _batches(dataset, users))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3), parts, whole)
    assert float(whole.moments.count) == 6


def test_a_round_updates_factors_and_prior_as_on_the_whole_graph(dataset, network, params):
    network = network.rounds
    (batch,) = _batches(dataset, 6)
    graph = with_batch(dataset.world.build_graph(), batch, 1)
    sums, found = _sums(dataset, network, params, [batch])
    users = found[0][1]["users"]
    moved = minibatch_em.update_params(network, params, sums, jnp.int32(ROUND), make_mesh(Mesh()))
    rounds = network.bind(params)
    population, answers = rounds.population(), rounds.answers(graph)
    states = (users, answers, params["latent_factors"])
    histories = read_histories(graph)
    args = (graph, histories, network.features, population, states, params["population_mean"], network.factor_precision)
    np.testing.assert_allclose(moved["latent_factors"], update_latent_factors(*args), rtol=1e-3, atol=1e-4)
    _, covariance, _ = rounds.e_step(graph, histories, answers, users, 0)
    moments = second_moments(network.features, users, covariance, jnp.ones(6), params["population_mean"])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3), sums.moments, moments)


def test_latent_factors_stay_during_the_warm_up(dataset, network, params):
    network = network.rounds
    sums, _ = _sums(dataset, network, params, _batches(dataset, 6))
    early = minibatch_em.update_params(network, params, sums, jnp.int32(0), make_mesh(Mesh()))
    np.testing.assert_array_equal(early["latent_factors"], params["latent_factors"])
    assert np.abs(early["population_mean"] - params["population_mean"]).max() > 0


def _trained(config, dataset, rounds):
    run = make_run(config, dataset)
    state, step, key = first_state(run, config.seed), make_train_step(run), jax.random.key(config.seed)
    steps = rounds * (run.batches.steps if run.batches else 1)
    batches = Input(run.batches, run.mesh, 0, steps)
    for _ in range(steps):
        state, metrics = step(state, run.world, next(batches), key)
    reward = validate(run, state.params, dataset, dataset.labelled("test"))[0]
    return reward, metrics, step._cache_size(), state


@pytest.mark.parametrize("preset", ["em", "paper"])
def test_minibatches_learn_as_well_as_the_whole_graph_and_compile_once(tiny_config, dataset, preset):
    tiny_config.model.preset = preset
    some = copy.deepcopy(tiny_config)
    some.train.users_per_step = 3
    rounds = 8 if preset == "em" else 30
    whole, found = _trained(tiny_config, dataset, rounds)[0], _trained(some, dataset, rounds)
    assert found[0] > whole - 0.08
    assert np.isfinite(float(found[1]["loss"]))
    assert found[2] == 1


def test_only_the_last_step_of_a_round_updates_parameters(tiny_config, dataset):
    tiny_config.train.users_per_step, tiny_config.train.steps_per_round = 2, 3
    run = make_run(tiny_config, dataset)
    state, step, key = first_state(run, 0), make_train_step(run), jax.random.key(0)
    batches, means = Input(run.batches, run.mesh, 0, 6), []
    for _ in range(6):
        state, _ = step(state, run.world, next(batches), key)
        means.append(np.asarray(state.params["population_mean"]))
    changed = [not np.array_equal(one, other) for one, other in itertools.pairwise(means)]
    assert changed == [False, True, False, False, True]
    assert float(state.opt_state.inner_states[EM].inner_state.moments.count) == 0
