"""A network with both parts: utilities add up, and each parameter is trained by what its kind asks for."""

import dataclasses

import jax
import numpy as np
import pytest

from prouter_jax.config import Mesh
from prouter_jax.data.batches import Batches, Input
from prouter_jax.data.history_store import build_store
from prouter_jax.data.rewards import build_decisions
from prouter_jax.model.inference import make_scorer, score_decisions
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import make_mesh
from prouter_jax.training.step import EM, GRADIENT, init_network, label_params, make_recipe, make_step, read_world


@pytest.fixture(scope="module")
def graph(dataset):
    return dataset.world.build_graph()


@pytest.fixture
def both(tiny_config, network, graph) -> Architecture:
    model = tiny_config.model
    model.preset, model.hidden_dim, model.message_passing_steps = "paper", 8, 1
    return dataclasses.replace(make_network(tiny_config, graph, 6), rounds=network.rounds)


@pytest.fixture
def all_params(both, params) -> dict:
    """With random layers, whose sharpness does not matter to utilities."""
    return jax.jit(both.init)(jax.random.key(1)) | params


def _trained(config, dataset, network, steps):
    """Parameters before and after some steps, and the last metrics."""
    recipe, mesh, train = make_recipe(config, 2), make_mesh(Mesh()), config.train
    graph = dataset.world.build_graph()
    params, opt_state = init_network(network, recipe, jax.random.key(0))
    world, before = read_world(network, recipe, graph), params
    rows = np.arange(len(dataset.world.interactions.queries.ids))
    store = build_store(dataset.world.interactions)
    batches = Batches(store, rows, train.users_per_step, 32, 0) if train.users_per_step else None
    batches = Input(batches, mesh, 0, steps)
    step = jax.jit(make_step(network, recipe, mesh))
    for number in range(steps):
        params, opt_state, metrics = step(params, opt_state, world, next(batches), number, jax.random.key(1))
    return before, params, metrics


def test_utilities_are_the_sum_of_those_of_both_parts(both, all_params, graph):
    def utilities(network):
        states = jax.jit(lambda params, graph: network.bind(params)(graph))(all_params, graph)
        return np.einsum("ua,qla->uql", states.users, states.answers)

    parts = [utilities(dataclasses.replace(both, **{name: None})) for name in ("rounds", "layers")]
    assert min(np.abs(part).max() for part in parts) > 0.1
    np.testing.assert_allclose(utilities(both), sum(parts), atol=1e-4)


def test_one_scorer_applies_both_parts(both, all_params, dataset, graph, tiny_model):
    decisions = build_decisions(dataset.data, np.arange(40))
    model = dataclasses.replace(tiny_model, unseen_queries="utility")

    def logits(network):
        return score_decisions(make_scorer(network, all_params, dataset.world, graph, model), dataset, decisions)

    # every second query or so is not in the graph
    assert 0 < (dataset.world_query[decisions.query] < 0).mean() < 1
    parts = [logits(dataclasses.replace(both, **{name: None})) for name in ("rounds", "layers")]
    np.testing.assert_allclose(logits(both), sum(parts), atol=2e-3)


def test_labels_cover_every_parameter(both):
    params, labels = both.init(jax.random.key(0)), label_params(both)
    assert jax.tree.structure(labels) == jax.tree.structure(params)
    assert {name for name, label in labels.items() if label == EM} == set(both.rounds.init(jax.random.key(0)))
    assert set(jax.tree.leaves(labels)) == {EM, GRADIENT}


@pytest.mark.parametrize("users", [0, 3], ids=["all users", "minibatches"])
def test_em_and_gradients_train_their_own_parts_in_one_step(tiny_config, dataset, network, both, users):
    """What EM estimates is the same with layers beside it and without."""
    tiny_config.train.users_per_step = users
    rounds = dataclasses.replace(network.rounds, users=users or 6)
    before, after, metrics = _trained(tiny_config, dataset, dataclasses.replace(both, rounds=rounds), 4)
    alone = _trained(tiny_config, dataset, Architecture(rounds=rounds), 4)[1]
    assert np.isfinite(float(metrics["loss"]))
    for name, value in alone.items():
        np.testing.assert_allclose(after[name], value, atol=1e-4, err_msg=name)
    moved = [
        (x != y).any() for x, y in zip(jax.tree.leaves(before["head"]), jax.tree.leaves(after["head"]), strict=True)
    ]
    assert np.mean(moved) > 0.5
