"""Graphs hold what the tables say, whatever the padding; odd data sets can be built."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import take
from prouter_jax.data.rewards import build_decisions, outcome_matrices
from prouter_jax.graph.build import bucket, build_graph, node_width


def _told(graph):
    """(user, query, llm, share, rating or None) of every history edge that is not padding."""
    edges = graph.edges("history")
    known = np.asarray(edges.second_known)
    columns = (edges.receivers, edges.query, edges.senders, edges.first, edges.second)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return {
        (*row[:4], row[4] if known[at] else None) for at, row in enumerate(rows) if np.asarray(edges.weight)[at] > 0
    }


def _expected(decisions):
    """The same from the decisions."""
    row, llm = np.nonzero(decisions.offered)
    ratings = decisions.rating[row, llm].tolist()
    columns = (decisions.user[row], decisions.query[row], llm, decisions.target[row, llm])
    told = zip(*(column.tolist() for column in columns), strict=True)
    return {(*facts, None if np.isnan(rating) else rating) for facts, rating in zip(told, ratings, strict=True)}


@pytest.mark.parametrize("fixture", ["dataset", "shared_dataset"])
@pytest.mark.parametrize("shards", [1, 4])
def test_history_edges_are_the_decisions(request, fixture, shards):
    world = request.getfixturevalue(fixture).world
    graph = world.build_graph(shards)
    decisions = build_decisions(world.interactions, np.arange(len(world.interactions.decisions.user)))
    assert graph.layout.shared_queries == (fixture == "shared_dataset")
    assert graph.layout.has_ratings == (fixture == "shared_dataset")
    assert graph.layout.users % shards == 0
    assert _told(graph) == _expected(decisions)


def test_outcome_edges_are_the_outcomes_and_missing_ones_are_known_to_be_missing(dataset):
    world = dataset.world
    outcomes = world.interactions.outcomes
    effect = outcomes.effect.copy()
    effect[::5] = np.nan
    data = world.interactions.replace(outcomes=dataclasses.replace(outcomes, effect=effect))
    edges = dataclasses.replace(world, interactions=data).build_graph().edges("query_to_llm")
    found = np.full((2, *outcome_matrices(data, world.scale)[0].shape), np.nan, np.float32)
    real = np.asarray(edges.weight) > 0
    for table, value, known in zip(
        found, (edges.first, edges.second), (edges.first_known, edges.second_known), strict=True
    ):
        at = real & (np.asarray(known) > 0)
        assert not np.asarray(value)[~at].any()
        table[np.asarray(edges.query)[at], np.asarray(edges.receivers)[at]] = np.asarray(value)[at]
    np.testing.assert_array_equal(found, outcome_matrices(data, world.scale))


def test_an_unknown_price_differs_from_a_free_llm(dataset):
    llms = dataset.world.interactions.llms
    prices = np.array([0.0, np.nan, 1.0, 2.0], np.float32)
    data = dataset.world.interactions.replace(llms=dataclasses.replace(llms, input_price=prices))
    features = dataclasses.replace(dataset.world, interactions=data).build_graph().nodes("llm")[:, -4:]
    assert features[0, 0] == features[1, 0] == 0
    assert (features[:, 2] == [1, 0, 1, 1]).all()
    assert np.isfinite(features).all()


def test_texts_stand_at_their_nodes_and_padding_is_zero(dataset):
    world = dataset.world
    graph, width = world.build_graph(), world.vectors.query.shape[1]
    number = len(world.vectors.query)
    assert graph.nodes("query").shape == (bucket(number), node_width(world.vectors))
    np.testing.assert_array_equal(graph.nodes("query")[:number, :width], world.vectors.query)
    np.testing.assert_array_equal(graph.nodes("llm")[:, :width], world.vectors.llm)
    assert not graph.nodes("query")[number:].any()
    assert not graph.nodes("user").any()


def test_a_bucket_is_large_enough_hardly_larger_and_one_of_few():
    sizes = [bucket(number) for number in range(1, 5000)]
    assert all(number <= size <= max(number * 17 / 16, number) for number, size in enumerate(sizes, 1))
    assert sizes == sorted(sizes)
    assert all(bucket(size) == size for size in sizes)
    assert len(set(sizes)) < 160


def test_a_graph_without_decisions_outcomes_or_families_can_be_built(dataset):
    world = dataset.world
    data = world.interactions
    empty = take(data.outcomes, np.zeros(0, np.int64))
    loners = dataclasses.replace(data.llms, families=np.full(len(data.llms.ids), "", object))
    histories = build_decisions(data, np.zeros(0, np.int64))
    graph = build_graph(data.replace(outcomes=empty, llms=loners), world.vectors, world.scale, histories)
    for name in ("query_to_llm", "family", "history"):
        assert not np.asarray(graph.edges(name).weight).any()


def test_an_edge_takes_few_bytes(shared_dataset):
    """Of a large graph the history edges are nearly all memory: numbers and places take 4 bytes each, flags 1."""
    graph = shared_dataset.world.build_graph().graph
    arrays = [*graph.edges.values(), graph.senders, graph.receivers]
    assert sum(array.dtype.itemsize for array in arrays) == 5 * 4 + 4
    flags = ("weight", "first_known", "second_known", "shown_first")
    assert {graph.edges[name].dtype for name in flags} == {np.dtype(np.int8)}
