"""What is said of an answer, as the weight of its message, against plain numpy."""

import dataclasses

import jax
import numpy as np
import pytest

from prouter_jax.graph.build import build_graph
from prouter_jax.graph.history import HistoryFeedback
from prouter_jax.graph.schema import hide, see_all
from prouter_jax.model.message_passing import feedback_weights, mean_feedback_message


def _said(offered, target, rating=None, rated=None):
    arrays = (None if x is None else np.asarray(x, np.float32) for x in (offered, target, rating, rated))
    return HistoryFeedback(*arrays, shown_first=None)


def test_a_choice_counts_against_what_else_was_offered():
    found = feedback_weights(
        _said([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], [[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]])
    )
    np.testing.assert_allclose(found, [[-0.25, 0.75, -0.25, -0.25], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_a_rating_counts_against_the_users_other_ratings():
    rated = [[1, 1], [1, 0]]
    found = feedback_weights(_said([[1, 1], [1, 1]], np.zeros((2, 2)), [[0.2, 0.6], [0.7, 0]], rated))
    np.testing.assert_allclose(found, [[-0.3, 0.1], [0.2, 0]], atol=1e-6)


def _expected(decisions, visible, messages):
    """Mean of weight times message over the visible decisions and three without a say, user by user."""
    found = np.zeros((len(visible), messages.shape[-1]))
    for user in range(6):
        rows = np.flatnonzero(decisions.user == user)[visible[user]]
        offered, target, rating, thumb = (getattr(decisions, x)[rows] for x in ("offered", "target", "rating", "thumb"))
        thumb = np.where(thumb < 0, np.nan, thumb)
        chosen = target.sum(1, keepdims=True)
        weight = target - chosen * offered / offered.sum(1, keepdims=True)
        for value in (rating, thumb):
            weight += np.nan_to_num(value - np.nanmean(value)) if (~np.isnan(value)).any() else 0
        found[user] = (weight[..., None] * messages[decisions.query[rows]]).sum((0, 1)) / (len(rows) + 3)
    return found


@pytest.mark.parametrize("shuffled", [False, True])
def test_users_receive_means_of_what_they_liked_in_either_layout(shared_dataset, all_kinds, shuffled):
    world, rng = shared_dataset.world, np.random.default_rng(0)
    order = np.argsort(all_kinds.user, kind="stable")
    if shuffled:  # one user's decisions twice: queries are no longer shared
        order = np.concatenate([np.flatnonzero(all_kinds.user == 0), order])
        order = order[np.argsort(all_kinds.user[order], kind="stable")]
    histories = dataclasses.replace(all_kinds, **{name: x[order] for name, x in vars(all_kinds).items()})
    graph = build_graph(world.interactions, world.vectors, world.scale, histories)
    assert graph.layout.shared_queries != shuffled
    messages = rng.normal(size=(graph.layout.num("query"), 4, 3)).astype(np.float32)
    number = np.bincount(histories.user)
    shown = [rng.permutation(count)[: count // 2] for count in number]
    decisions = np.zeros((graph.layout.users, graph.layout.decisions), np.float32)
    for user, rows in enumerate(shown):
        places = rows if shuffled else np.unique(histories.query, return_inverse=True)[1][histories.user == user][rows]
        decisions[user, places] = 1
    seen = hide(graph, see_all(graph.layout).replace(decisions=decisions))
    found = jax.jit(mean_feedback_message)(seen, messages)
    np.testing.assert_allclose(found[:6], _expected(histories, shown, messages), atol=1e-5)
    assert not np.asarray(found[6:]).any()
