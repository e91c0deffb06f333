"""What a step hides: everything once a pass, never what it also shows, whatever the mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.config import SPLITS
from prouter_jax.graph.history import read_histories
from prouter_jax.graph.schema import see_all
from prouter_jax.training.masked_loss import Masking, blur_texts, choose_masked, make_masking


def _hidings(graph, masking, steps, seed=0):
    chosen = jax.jit(lambda step: choose_masked(graph, masking, step, jax.random.key(seed)))
    return [jax.tree.map(np.asarray, chosen(jnp.int32(step))) for step in steps]


@pytest.mark.parametrize("whole_queries", [True, False])
def test_a_pass_foresees_every_decision_once_and_never_sees_what_it_foresees(dataset, whole_queries):
    graph = dataset.world.build_graph()
    masking = Masking(3, whole_queries, full_history_share=0.3, no_task_share=0.2, text_noise=0.0)
    passes = _hidings(graph, masking, range(6))
    for some in (passes[:3], passes[3:]):
        assert (sum(scored for _, scored in some) == 1).all()
    assert any((a != b).any() for (_, a), (_, b) in zip(passes[:3], passes[3:], strict=True))
    query = np.asarray(read_histories(graph).query)
    for visibility, scored in passes:
        assert set(np.unique(visibility.decisions)) == {0, 1}
        assert not (visibility.decisions * scored).any()
        if whole_queries:
            np.testing.assert_array_equal(visibility.outcomes[query], 1 - scored)
            assert (visibility.tasks >= visibility.outcomes).all()
        else:
            np.testing.assert_array_equal(visibility.outcomes, see_all(graph.layout).outcomes)
    assert whole_queries == any((visibility.tasks < 1).any() for visibility, _ in passes)
    assert all((a[1] == b[1]).all() for a, b in zip(passes, _hidings(graph, masking, range(6)), strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(passes, _hidings(graph, masking, range(6), seed=1), strict=True))


@pytest.mark.parametrize("whole_queries", [True, False])
def test_the_mesh_does_not_decide_what_is_hidden(dataset, whole_queries):
    masking = Masking(2, whole_queries, full_history_share=0.3, no_task_share=0.2, text_noise=0.0)
    one, eight = (dataset.world.build_graph(shards) for shards in (1, 8))
    assert (one.layout.users, eight.layout.users) == (6, 8)
    for (seen, scored), (also_seen, also_scored) in zip(
        _hidings(one, masking, range(4)), _hidings(eight, masking, range(4)), strict=True
    ):
        np.testing.assert_array_equal(scored, also_scored[:6])
        np.testing.assert_array_equal(seen.decisions, also_seen.decisions[:6])
        np.testing.assert_array_equal(seen.outcomes, also_seen.outcomes)


def test_history_lengths_go_from_none_to_all(dataset):
    graph = dataset.world.build_graph()
    masking = Masking(2, True, full_history_share=0.3, no_task_share=0.0, text_noise=0.0)
    lengths = np.concatenate(
        [
            visibility.decisions.sum(1) / np.maximum((1 - scored).sum(1), 1)
            for visibility, scored in _hidings(graph, masking, range(60))
        ]
    )
    assert 0.25 < (lengths == 1).mean() < 0.5
    assert 0.1 < (lengths == 0).mean() < 0.5
    assert ((lengths > 0) & (lengths < 0.5)).mean() > 0.1


def test_only_texts_of_queries_are_blurred_by_as_much_as_asked(dataset):
    graph = dataset.world.build_graph()
    blurred = blur_texts(graph, 2.0, jax.random.key(0))
    noise = np.asarray(blurred.nodes("query") - graph.nodes("query"))
    assert np.sqrt((noise**2).sum(1).mean()) == pytest.approx(2.0, rel=0.1)
    for name in ("user", "task", "llm"):
        np.testing.assert_array_equal(blurred.nodes(name), graph.nodes(name))


@pytest.mark.parametrize("split", SPLITS)
def test_whole_queries_are_hidden_where_those_of_the_test_are_new(tiny_config, split):
    tiny_config.data.split = split
    assert make_masking(tiny_config).whole_queries == (split not in ("warm_query", "warm_user"))
