"""A round in minibatches is the round over everybody: sums over parts, and what they move."""

import copy
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.config import Mesh
from prouter_jax.data.batches import Batches, Input
from prouter_jax.data.history_store import store_of
from prouter_jax.graph.history import read_histories, with_batch
from prouter_jax.model.latent_factors import move_tastes
from prouter_jax.model.prior import spread_of
from prouter_jax.sharding import make_mesh
from prouter_jax.training import em as minibatch
from prouter_jax.training.loop import initial_state as first_state
from prouter_jax.training.loop import make_run, make_train_step, validate

ROUND = 5  # after the warm-up


def _batches(prepared, users):
    """All users, so many at a time."""
    data = prepared.world.interactions
    batches = Batches(store_of(data), np.arange(len(data.queries.ids)), users, 32, 0)
    return [batches.rows(step, 0, users) for step in range(batches.steps)]


def _sums(prepared, network, params, batches):
    answers, population = network.answers(params, prepared.world.build_graph()), network.population(params)
    messages = jax.jit(minibatch.messages, static_argnums=0)
    told = [messages(network, population, params["crowd"], answers, batch) for batch in batches]
    return jax.tree.map(lambda *parts: sum(parts), *[sums for sums, _, _ in told]), told


def test_sums_over_parts_are_those_over_everybody(prepared, network, params):
    whole, _ = _sums(prepared, network, params, _batches(prepared, 6))
    for users in (2, 4):  # the last batch of four is filled with nobody
        parts, _ = _sums(prepared, network, params, _batches(prepared, users))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3), parts, whole)
    assert float(whole.spread.count) == 6


def test_tastes_and_population_move_as_over_the_whole_graph(prepared, network, params):
    (batch,) = _batches(prepared, 6)
    graph = with_batch(prepared.world.build_graph(), batch, 1)
    sums, told = _sums(prepared, network, params, [batch])
    users = told[0][1]["users"]
    moved = minibatch.move(network, params, sums, jnp.int32(ROUND), make_mesh(Mesh()))
    population, answers = network.population(params), network.answers(params, graph)
    states = (users, answers, params["tastes"])
    histories = read_histories(graph)
    args = (graph, histories, network.columns, population, states, params["crowd"], network.taste_precision)
    np.testing.assert_allclose(moved["tastes"], move_tastes(*args), rtol=1e-3, atol=1e-4)
    _, unknown, _ = network.read(graph, histories, answers, population, users, 0)
    spread = spread_of(network.columns, users, unknown, jnp.ones(6), params["crowd"])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3), sums.spread, spread)


def test_tastes_wait_for_the_warm_up(prepared, network, params):
    sums, _ = _sums(prepared, network, params, _batches(prepared, 6))
    early = minibatch.move(network, params, sums, jnp.int32(0), make_mesh(Mesh()))
    np.testing.assert_array_equal(early["tastes"], params["tastes"])
    assert np.abs(early["crowd"] - params["crowd"]).max() > 0


def _trained(config, prepared, rounds):
    run = make_run(config, prepared)
    state, step, key = first_state(run, config.seed), make_train_step(run), jax.random.key(config.seed)
    steps = rounds * (run.batches.steps if run.batches else 1)
    batches = Input(run.batches, run.mesh, 0, steps)
    for _ in range(steps):
        state, metrics = step(state, run.world, next(batches), key)
    reward = validate(run, state.params, prepared, prepared.labelled("test"))[0]
    return reward, metrics, step._cache_size(), state


@pytest.mark.parametrize("preset", ["bayes", "paper"])
def test_minibatches_learn_as_well_as_the_whole_graph_and_are_compiled_once(tiny_config, prepared, preset):
    tiny_config.model.preset = preset
    some = copy.deepcopy(tiny_config)
    some.train.users_per_step = 3
    rounds = 8 if preset == "bayes" else 30
    whole, told = _trained(tiny_config, prepared, rounds)[0], _trained(some, prepared, rounds)
    assert told[0] > whole - 0.08
    assert np.isfinite(float(told[1]["loss"]))
    assert told[2] == 1


def test_a_round_of_several_steps_moves_nothing_before_its_end(tiny_config, prepared):
    tiny_config.train.users_per_step, tiny_config.train.steps_per_round = 2, 3
    run = make_run(tiny_config, prepared)
    state, step, key = first_state(run, 0), make_train_step(run), jax.random.key(0)
    batches, crowds = Input(run.batches, run.mesh, 0, 6), []
    for _ in range(6):
        state, _ = step(state, run.world, next(batches), key)
        crowds.append(np.asarray(state.params["crowd"]))
    changed = [not np.array_equal(one, other) for one, other in itertools.pairwise(crowds)]
    assert changed == [False, True, False, False, True]
    assert float(state.opt_state.spread.count) == 0
