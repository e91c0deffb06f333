"""A function of one user, run over all users: the same in both layouts, in chunks and in shards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.data.rewards import build_decisions
from prouter_jax.graph import build as graph_build_history
from prouter_jax.graph import history as histories
from prouter_jax.graph.history import map_over_users, mask_feedback, read_histories, sum_by_llm, sum_over_users
from prouter_jax.model.likelihood import utilities


@pytest.mark.parametrize("fixture", ["dataset", "shared_dataset"])
@pytest.mark.parametrize(("shards", "at_once"), [(1, 128), (2, 2)])
def test_over_users_is_a_loop_over_users(request, monkeypatch, fixture, shards, at_once):
    for module in (graph_build_history, histories):
        monkeypatch.setattr(module, "USERS_AT_ONCE", at_once)
    world = request.getfixturevalue(fixture).world
    graph = world.build_graph(shards)
    layout = graph.layout
    assert layout.users // shards // at_once == {1: 0, 2: 2}[shards]
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(layout.num("query"), 4, 3)).astype(np.float32)
    theta = rng.normal(size=(layout.users, 3)).astype(np.float32)
    visible = (rng.random((layout.users, layout.decisions)) < 0.7).astype(np.float32)

    def function(answers, feedback, llm, visible, theta):
        feedback = mask_feedback(feedback, visible)
        liked = (utilities(theta, answers) + 1) * feedback.offered
        return sum_by_llm(liked, llm, 4), (feedback.target * liked).sum((0, 1))

    by_llm, of_choices = map_over_users(graph, function, jnp.asarray(answers), read_histories(graph), visible, theta)
    decisions = build_decisions(world.interactions, np.arange(len(world.interactions.decisions.user)))
    expected = np.zeros((layout.users, 4)), np.zeros(layout.users)
    for user in range(6):
        rows = np.flatnonzero(decisions.user == user)
        seen = visible[user, : len(rows), None] * decisions.offered[rows]
        liked = seen * (answers[decisions.query[rows]] @ theta[user] + 1)
        expected[0][user], expected[1][user] = liked.sum(0), (liked * decisions.target[rows]).sum()
    np.testing.assert_allclose(by_llm, expected[0], atol=1e-4)
    np.testing.assert_allclose(of_choices, expected[1], atol=1e-4)


@pytest.mark.parametrize("fixture", ["dataset", "shared_dataset"])
@pytest.mark.parametrize(("shards", "at_once"), [(1, 128), (2, 2)])
def test_a_sum_over_users_adds_up_every_decision_once(request, monkeypatch, fixture, shards, at_once):
    for module in (graph_build_history, histories):
        monkeypatch.setattr(module, "USERS_AT_ONCE", at_once)
    graph = request.getfixturevalue(fixture).world.build_graph(shards)
    layout = graph.layout
    rng = np.random.default_rng(0)
    weight = rng.random(layout.users).astype(np.float32)
    visible = (rng.random((layout.users, layout.decisions)) < 0.7).astype(np.float32)

    def on_shared(feedback, query, llm, visible, weight):
        assert llm is None
        return jax.ops.segment_sum(
            (mask_feedback(feedback, visible).offered * weight).sum((1, 2)), query, layout.num("query")
        )

    def on_own(feedback, query, llm, visible, weight):
        assert llm.shape == feedback.offered.shape
        of_decision = (feedback.offered * visible[..., None] * weight[:, None, None]).sum(2)
        return jax.ops.segment_sum(of_decision.reshape(-1), query.reshape(-1), layout.num("query"))

    function = on_shared if layout.shared_queries else on_own
    found = sum_over_users(graph, function, read_histories(graph), visible, weight)
    data = request.getfixturevalue(fixture).world.interactions
    decisions = build_decisions(data, np.arange(len(data.decisions.user)))
    expected = np.zeros(layout.num("query"))
    for user in range(6):
        rows = np.flatnonzero(decisions.user == user)
        at = (
            np.arange(len(rows))
            if not layout.shared_queries
            else np.unique(decisions.query, return_inverse=True)[1][rows]
        )
        np.add.at(expected, decisions.query[rows], visible[user, at] * weight[user] * decisions.offered[rows].sum(1))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ratings_are_read_where_there_are_any(dataset, shared_dataset):
    assert read_histories(dataset.world.build_graph()).feedback.rated is None
    arrays = read_histories(shared_dataset.world.build_graph()).feedback
    assert arrays.rated.shape == arrays.offered.shape
    feedback = shared_dataset.world.interactions.feedback
    assert float(arrays.rated.sum()) == len(feedback.value)
    np.testing.assert_allclose(arrays.rating.sum(), feedback.value.sum(), rtol=1e-4)


def test_only_leaves_nothing_of_a_hidden_decision(shared_dataset):
    feedback = read_histories(shared_dataset.world.build_graph()).feedback
    mask = np.zeros((feedback.offered.shape[0], feedback.offered.shape[2]), np.float32)
    mask[2, 3] = 1
    left = mask_feedback(feedback, mask)
    assert left.shown_first is None
    for name in ("offered", "target", "rating", "rated"):
        value = np.array(getattr(left, name))
        np.testing.assert_array_equal(value[2, :, 3], getattr(feedback, name)[2, :, 3])
        value[2, :, 3] = 0
        assert not value.any()
