"""Messages: means that neither padding nor repetition moves, and queries nobody asked yet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_differences import check_gradients
from flax import nnx

from prouter_jax.graph.schema import EDGE_SETS, NODE_SETS, hide, see_all
from prouter_jax.model.message_passing import WORLD_EDGES, Layer, weighted_mean

DIM = 8


@pytest.fixture(scope="module")
def world(dataset):
    """A graph, states of its nodes, and a layer of which no parameter is zero."""
    graph = dataset.world.build_graph()
    rng = np.random.default_rng(0)
    states = {name: rng.normal(size=(graph.layout.num(name), DIM)).astype(np.float32) for name in NODE_SETS}
    layer = Layer(DIM, EDGE_SETS, rngs=nnx.Rngs(0))
    nnx.update(layer, jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape), nnx.state(layer)))
    return graph, states, layer


@jax.jit
def _apply(layer, graph, states):
    return layer(graph, states)


def _with_edges(graph, **edges):
    return graph.replace(graph=graph.graph._replace(edges=graph.graph.edges | edges))


def test_weighted_mean_is_the_mean_of_what_counts():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 3)).astype(np.float32)
    weight, receivers = (rng.random(20) < 0.7).astype(np.float32), rng.integers(0, 4, 20)
    mean = weighted_mean(values, weight, receivers, 6)
    for node in range(4):
        np.testing.assert_allclose(mean[node], values[(receivers == node) & (weight > 0)].mean(0), rtol=1e-5)
    assert not mean[4:].any()


def test_heavier_edges_change_nothing_but_missing_ones_do(world):
    graph, states, layer = world
    before, weight = _apply(layer, graph, states), np.array(graph.graph.edges["weight"])
    twice, some = weight.copy(), weight.copy()
    for name in WORLD_EDGES:
        at = graph.layout.edge_range(name)
        twice[at] *= 2
        some[at] *= np.arange(at.stop - at.start) % 3 > 0
    doubled, thinned = (_apply(layer, _with_edges(graph, weight=x), states) for x in (twice, some))
    for name in ("task", "query", "llm"):
        np.testing.assert_allclose(before[name], doubled[name], atol=1e-5)
        assert np.abs(before[name] - thinned[name]).max() > 1e-2, name


def test_a_query_without_outcomes_is_what_its_task_makes_of_it_and_tells_nobody_anything(world):
    graph, states, layer = world
    both, everything = np.array([2, 3]), see_all(graph.layout)
    outcomes, tasks = everything.outcomes.copy(), everything.tasks.copy()
    outcomes[both], tasks[both[1]] = 0, 0
    decisions = 1 - np.isin(graph.edges("history").query, both).reshape(*everything.decisions.shape, -1).max(-1)
    hidden = hide(graph, everything.replace(outcomes=outcomes, tasks=tasks, decisions=decisions.astype(np.float32)))
    result = _apply(layer, hidden, states)
    task = graph.edges("task_to_query").senders[both]
    lone = layer.lone_query(states["query"][both], states["task"][task], jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(result["query"][both], lone, atol=1e-5)
    loud = states["query"].copy()
    loud[both] *= -3
    heard = _apply(layer, hidden, states | {"query": loud})
    for name in ("user", "task", "llm"):
        np.testing.assert_array_equal(result[name], heard[name])
        assert np.abs(np.asarray(_apply(layer, graph, states | {"query": loud})[name]) - result[name]).max() > 0.01


def test_a_user_without_history_is_a_lone_user(world):
    graph, states, layer = world
    found = _apply(layer, graph.without_histories(), states)["user"]
    np.testing.assert_allclose(found[3], layer.lone_user(states["user"][3]), atol=1e-5)


def test_every_edge_set_and_every_observed_number_is_heard(world):
    graph, states, layer = world
    before = _apply(layer, graph, states)
    for name in EDGE_SETS:
        weight = np.array(graph.graph.edges["weight"])
        weight[graph.layout.edge_range(name)] = 0
        after = _apply(layer, _with_edges(graph, weight=weight), states)
        assert any(np.abs(after[node] - before[node]).max() > 1e-3 for node in NODE_SETS), name
    for field in ("first", "second"):
        values = np.array(graph.graph.edges[field])
        for name in ("query_to_llm", "llm_to_query"):
            values[graph.layout.edge_range(name)] *= -1
        after = _apply(layer, _with_edges(graph, **{field: values}), states)
        for node in ("user", "query", "llm"):
            assert np.abs(after[node] - before[node]).max() > 1e-3, (field, node)


def test_gradients_are_those_of_finite_differences(world):
    graph, states, layer = world
    structure, params = nnx.split(layer)
    check_gradients(lambda params, states: nnx.merge(structure, params)(graph, states), params, states)


def test_edge_sets_that_are_left_out_have_no_parameters_and_are_not_heard(world):
    graph, states, _ = world
    layer = Layer(DIM, ("query_to_llm",), rngs=nnx.Rngs(0))
    assert set(layer.message) == set(layer.observed) == {"query_to_llm"}
    weight = np.array(graph.graph.edges["weight"])
    at = graph.layout.edge_range("query_to_llm")
    weight[: at.start], weight[at.stop :] = 0, 0
    before, after = (_apply(layer, x, states) for x in (graph, _with_edges(graph, weight=weight)))
    for name in NODE_SETS:
        np.testing.assert_array_equal(before[name], after[name])
