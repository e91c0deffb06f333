"""World messages: means that neither padding nor repetition moves, and queries nobody asked yet."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from prouter_jax.graph import hide, see_all
from prouter_jax.message_passing import WORLD_EDGES, WORLD_NODES, MessagePassing, weighted_mean

DIM = 8


@pytest.fixture(scope="module")
def world(prepared):
    """A graph, states of its nodes, and a layer of which no parameter is zero."""
    graph = prepared.world.build_graph()
    rng = np.random.default_rng(0)
    states = {name: rng.normal(size=(graph.layout.num(name), DIM)).astype(np.float32) for name in WORLD_NODES}
    layer = MessagePassing(DIM, rngs=nnx.Rngs(0))
    nnx.update(layer, jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape), nnx.state(layer)))
    return graph, states, layer


@jax.jit
def _apply(layer, graph, states):
    return layer(graph, states)


@dataclasses.dataclass(frozen=True)
class _Doubled:
    """A graph, with every world edge `times` times."""

    graph: object
    times: int

    def edges(self, name):
        return jax.tree.map(lambda x: jnp.concatenate([x] * self.times), self.graph.edges(name))


def _layer(layer, graph, states, times=1):
    return jax.jit(lambda layer, graph, states: layer(_Doubled(graph, times), states))(layer, graph, states)


def test_weighted_mean_is_the_mean_of_what_counts():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 3)).astype(np.float32)
    weight, receivers = (rng.random(20) < 0.7).astype(np.float32), rng.integers(0, 4, 20)
    mean = weighted_mean(values, weight, receivers, 6)
    for node in range(4):
        np.testing.assert_allclose(mean[node], values[(receivers == node) & (weight > 0)].mean(0), rtol=1e-5)
    assert not mean[4:].any()


def test_doubling_every_edge_changes_nothing(world):
    graph, states, layer = world
    once, twice = _layer(layer, graph, states), _layer(layer, graph, states, times=2)
    for name in WORLD_NODES:
        np.testing.assert_allclose(once[name], twice[name], atol=1e-5)
        assert np.abs(once[name] - states[name]).max() > 0.1


def test_a_query_without_outcomes_is_what_its_task_makes_of_it_and_tells_nobody_anything(world):
    graph, states, layer = world
    both, everything = np.array([2, 3]), see_all(graph.layout)
    outcomes, tasks = everything.outcomes.copy(), everything.tasks.copy()
    outcomes[both], tasks[both[1]] = 0, 0
    hidden = hide(graph, everything.replace(outcomes=outcomes, tasks=tasks))
    result = _apply(layer, hidden, states)
    task = graph.edges("task_to_query").senders[both]
    lone = layer.lone_query(states["query"][both], states["task"][task], jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(result["query"][both], lone, atol=1e-5)
    loud = states["query"].copy()
    loud[both] = 1e6
    heard = _apply(layer, hidden, states | {"query": loud})
    for name in ("task", "llm"):
        np.testing.assert_array_equal(result[name], heard[name])
        assert np.abs(np.asarray(_apply(layer, graph, states | {"query": loud})[name]) - result[name]).max() > 0.1


def test_every_edge_set_and_every_observed_number_is_heard(world):
    graph, states, layer = world
    before = _apply(layer, graph, states)
    for name in WORLD_EDGES:
        at = graph.layout.edge_range(name)
        weight = np.array(graph.graph.edges["weight"])
        weight[at] = 0
        edges = graph.graph.edges | {"weight": weight}
        after = _apply(layer, graph.replace(graph=graph.graph._replace(edges=edges)), states)
        assert any(np.abs(after[node] - before[node]).max() > 1e-3 for node in WORLD_NODES), name
    for field in ("first", "second"):
        edges = graph.graph.edges | {field: 1 - graph.graph.edges[field]}
        after = _apply(layer, graph.replace(graph=graph.graph._replace(edges=edges)), states)
        for node in ("query", "llm"):
            assert np.abs(after[node] - before[node]).max() > 1e-3, field
