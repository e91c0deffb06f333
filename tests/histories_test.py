"""A function of one user, run over all users: the same in both layouts, in chunks and in shards."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax import graph_build, histories
from prouter_jax.decisions import build_decisions
from prouter_jax.histories import only, over_users, read_histories, sum_by_llm
from prouter_jax.reader import utilities


@pytest.mark.parametrize("fixture", ["prepared", "shared_prepared"])
@pytest.mark.parametrize(("shards", "at_once"), [(1, 128), (2, 2)])
def test_over_users_is_a_loop_over_users(request, monkeypatch, fixture, shards, at_once):
    for module in (graph_build, histories):
        monkeypatch.setattr(module, "USERS_AT_ONCE", at_once)
    world = request.getfixturevalue(fixture).world
    graph = world.build_graph(shards)
    layout = graph.layout
    assert layout.users // shards // at_once == {1: 0, 2: 2}[shards]
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(layout.num("query"), 4, 3)).astype(np.float32)
    theta = rng.normal(size=(layout.users, 3)).astype(np.float32)
    visible = (rng.random((layout.users, layout.decisions)) < 0.7).astype(np.float32)

    def function(answers, said, llm, visible, theta):
        said = only(said, visible)
        liked = (utilities(theta, answers) + 1) * said.offered
        return sum_by_llm(liked, llm, 4), (said.target * liked).sum((0, 1))

    by_llm, of_choices = over_users(graph, function, jnp.asarray(answers), read_histories(graph), visible, theta)
    decisions = build_decisions(world.interactions, np.arange(len(world.interactions.decisions.user)))
    expected = np.zeros((layout.users, 4)), np.zeros(layout.users)
    for user in range(6):
        rows = np.flatnonzero(decisions.user == user)
        seen = visible[user, : len(rows), None] * decisions.offered[rows]
        liked = seen * (answers[decisions.query[rows]] @ theta[user] + 1)
        expected[0][user], expected[1][user] = liked.sum(0), (liked * decisions.target[rows]).sum()
    np.testing.assert_allclose(by_llm, expected[0], atol=1e-4)
    np.testing.assert_allclose(of_choices, expected[1], atol=1e-4)


def test_ratings_are_read_where_there_are_any(prepared, shared_prepared):
    assert read_histories(prepared.world.build_graph()).said.rated is None
    said = read_histories(shared_prepared.world.build_graph()).said
    assert said.rated.shape == said.offered.shape
    feedback = shared_prepared.world.interactions.feedback
    assert float(said.rated.sum()) == len(feedback.value)
    np.testing.assert_allclose(said.rating.sum(), feedback.value.sum(), rtol=1e-4)


def test_only_leaves_nothing_of_a_hidden_decision(shared_prepared):
    said = read_histories(shared_prepared.world.build_graph()).said
    mask = np.zeros((said.offered.shape[0], said.offered.shape[2]), np.float32)
    mask[2, 3] = 1
    left = only(said, mask)
    for field in dataclasses.fields(left):
        value = np.array(getattr(left, field.name))
        np.testing.assert_array_equal(value[2, :, 3], getattr(said, field.name)[2, :, 3])
        value[2, :, 3] = 0
        assert not value.any()
