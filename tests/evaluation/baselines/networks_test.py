"""The contrastive and the graph network baseline: losses, hidden edges, and a planted dependence on tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from policy_cases import labelled, small_world

from prouter_jax.evaluation.baselines import contrastive
from prouter_jax.evaluation.baselines.contrastive import Contrastive
from prouter_jax.evaluation.baselines.graph_router import GraphNetwork, GraphRouter, Nodes

DATASET = small_world()
TASK = DATASET.data.queries.task
NAN = np.nan


def _planted(queries):
    """LLM 0 is best on task 0, LLM 1 elsewhere; LLM 4 is never seen."""
    rewards = np.tile([0.0, 0.8, 0.3, 0.2, NAN], (len(queries), 1))
    rewards[:, 0] = TASK[queries] == 0
    return labelled(np.zeros(len(queries), int), queries, rewards)


@pytest.mark.parametrize(("kind", "more"), [(Contrastive, {"best": 1}), (GraphRouter, {"hidden": 32})])
def test_the_best_llm_of_a_task_is_found_on_new_queries(kind, more):
    policy = kind(DATASET, weight_decay=0.01, steps=200, **more)
    train = _planted(np.arange(70))
    policy.fit(train, train)
    scores = policy.score(train, _planted(np.arange(70, 100)).decisions)
    assert np.isfinite(scores).all()
    assert (scores[:, :4].argmax(1) == np.where(TASK[70:] == 0, 0, 1)).mean() > 0.9


def test_similar_vectors_are_drawn_together_against_the_dissimilar_ones():
    """One similar entry of 3 against exp(z) of 1 and 2, another of 6; the second row has none to draw to."""
    logits = np.log([[3.0, 1, 2, 6], [1, 1, 1, 1]])
    similar = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], bool)
    dissimilar = np.array([[0, 1, 1, 0], [1, 1, 1, 1]], bool)
    found = contrastive._against(jnp.asarray(logits), jnp.asarray(similar), jnp.asarray(dissimilar))
    assert float(found) == pytest.approx((np.log(6 / 3) + np.log(9 / 6)) / 2, rel=1e-5)


def test_the_first_of_a_row_are_known_ones():
    found = contrastive._first(np.array([[0.3, NAN, 0.1, 0.2], [NAN, NAN, 0.5, NAN]]), 2)
    assert found.tolist() == [[False, False, True, True], [False, False, True, False]]


def test_hidden_edges_of_the_graph_change_nothing():
    rng = np.random.default_rng(0)
    member = jnp.asarray(np.eye(2)[rng.integers(2, size=6)], jnp.float32)
    widths = {"task": (2, 4), "query": (6, 4), "llm": (3, 4)}
    nodes = Nodes(*(jnp.asarray(rng.normal(size=width), jnp.float32) for width in widths.values()), member)
    network = GraphNetwork(4, 4, 4, 3, 8, nnx.Rngs(0))
    visible = jnp.asarray(np.repeat([[1.0], [0.0]], 3, axis=0) * np.ones((1, 3)), jnp.float32)
    rewards = jax.random.normal(jax.random.key(1), (6, 3))
    found = network(nodes, visible, visible * rewards, nodes)
    other = network(nodes, visible, visible * rewards.at[3:].add(1.0), nodes)
    np.testing.assert_array_equal(found, other)
    assert not np.array_equal(found, network(nodes, visible, visible * rewards.at[0].add(1.0), nodes))
