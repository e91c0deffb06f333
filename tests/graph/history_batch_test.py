"""A graph with a batch's users has the batch's histories and the same world."""

import jax
import numpy as np

from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import build_store
from prouter_jax.graph.history import batch_histories, read_histories, with_batch
from prouter_jax.graph.schema import EDGE_SETS


def _both(dataset, users):
    data = dataset.world.interactions
    graph = dataset.world.build_graph()
    batch = Batches(build_store(data), np.arange(len(data.queries.ids)), users, 16, 0).rows(0, 0, users)
    return graph, batch, jax.jit(lambda graph, batch: with_batch(graph, batch, 1))(graph, batch)


def test_the_histories_are_the_batch_s(dataset):
    _, batch, graph = _both(dataset, 8)
    histories = read_histories(graph)
    np.testing.assert_array_equal(histories.query, batch["query"])
    np.testing.assert_array_equal(histories.llm, batch["llm"])
    np.testing.assert_array_equal(histories.feedback.offered, batch["offered"])
    np.testing.assert_array_equal(histories.feedback.target, batch["target"])
    np.testing.assert_array_equal(graph.visibility.decisions, batch["shown"])
    assert histories.feedback.rating is None


def test_ratings_come_along(shared_dataset):
    _, batch, graph = _both(shared_dataset, 4)
    feedback = read_histories(graph).feedback
    np.testing.assert_array_equal(feedback.rating, batch["rating"])
    np.testing.assert_array_equal(feedback.rated, batch["rated"])
    assert batch["rated"].any()


def test_a_batch_alone_says_what_its_graph_says(dataset, shared_dataset):
    for world in (dataset, shared_dataset):
        _, batch, graph = _both(world, 4)
        alone, within = batch_histories(batch), read_histories(graph)
        jax.tree.map(np.testing.assert_array_equal, alone, within)


def test_the_world_stays_though_its_nodes_have_other_numbers(dataset):
    before, _, after = _both(dataset, 13)
    assert after.layout.users == 13
    for name in ("task", "query", "llm"):
        np.testing.assert_array_equal(after.nodes(name), before.nodes(name))
    for name in EDGE_SETS[:-1]:
        jax.tree.map(np.testing.assert_array_equal, after.edges(name), before.edges(name))
    np.testing.assert_array_equal(after.style, before.style)
