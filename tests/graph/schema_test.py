"""The typed ranges of a graph, and that what is hidden comes out as nothing."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.graph.schema import EDGE_ENDS, EDGE_SETS, NODE_SETS, OBSERVED, hide, see_all


@pytest.fixture(scope="module")
def graph(dataset):
    return dataset.world.build_graph()


def test_node_and_edge_sets_fill_their_axes_and_edges_stay_within_their_ends(graph):
    layout = graph.layout
    for names, at, total in (
        (NODE_SETS, layout.node_range, len(graph.graph.nodes)),
        (EDGE_SETS, layout.edge_range, len(graph.graph.senders)),
    ):
        assert np.concatenate([np.arange(total)[at(name)] for name in names]).tolist() == list(range(total))
    for name, (source, target) in EDGE_ENDS.items():
        edges = graph.edges(name)
        for rows, ends in ((edges.senders, source), (edges.receivers, target), (edges.query, "query")):
            assert rows.min() >= 0
            assert rows.max() < layout.num(ends)


@pytest.mark.parametrize(
    ("hidden", "gone"),
    [
        ("outcomes", {"query_to_llm", "llm_to_query", "query_to_task"}),
        ("tasks", {"query_to_task", "task_to_query"}),
    ],
)
def test_a_hidden_query_leaves_no_trace_on_the_edges_that_would_tell(graph, hidden, gone):
    query, everything = 3, see_all(graph.layout)
    mask = getattr(everything, hidden).copy()
    mask[query] = 0
    seen = hide(graph, everything.replace(**{hidden: mask}))
    for name in set(EDGE_SETS) - {"history"}:
        before, after = graph.edges(name), seen.edges(name)
        of_query = (np.asarray(before.query) == query) & (name in gone)
        assert name not in gone or (np.asarray(before.weight)[of_query] == 1).any()
        for field in OBSERVED:
            expected = np.where(of_query, 0, getattr(before, field))
            np.testing.assert_array_equal(getattr(after, field), expected, err_msg=f"{name}.{field}")


def test_without_histories_hides_all_decisions_and_nothing_else(graph):
    seen, blind = graph.visibility, graph.without_histories().visibility
    assert not blind.decisions.any()
    assert blind.decisions.shape == seen.decisions.shape
    for field in dataclasses.fields(seen):
        if field.name != "decisions":
            np.testing.assert_array_equal(getattr(seen, field.name), getattr(blind, field.name))
