"""Nearest neighbours: their weights, and policies that use rewards on similar queries."""

import numpy as np
from policy_cases import choices, small_world

from prouter_jax.evaluation.baselines.features import unit_vectors
from prouter_jax.evaluation.baselines.neighbours import Neighbours, NeighboursPerUser, nearest

PREPARED = small_world()
TASK = PREPARED.data.queries.task


def _history(user, query):
    """LLM 1 is chosen on task 0, LLM 2 elsewhere."""
    return choices(user, query, np.where(TASK[query] == 0, 1, 2), 5)


def test_the_population_chooses_as_on_similar_queries():
    train = _history(np.repeat(np.arange(5), 60), np.tile(np.arange(60), 5))
    policy = Neighbours(PREPARED, number=5, task_bonus=9.0, trust=1.0, query_strength=1.0)
    policy.fit(train, train)
    query = np.arange(60, 100)
    found = policy.score(train, choices([7] * 40, query, [0] * 40, 5).decisions).argmax(1)
    np.testing.assert_array_equal(found, np.where(TASK[query] == 0, 1, 2))


def test_a_user_chooses_as_it_did_on_similar_queries():
    """User 0 follows the task, all others always choose LLM 4."""
    mine, other = np.arange(60), np.tile(np.arange(60), 4)
    user = np.concatenate([np.zeros(60, int), np.repeat(np.arange(1, 5), 60)])
    query = np.concatenate([mine, other])
    llm = np.where(user == 0, np.where(TASK[query] == 0, 1, 2), 4)
    train = choices(user, query, llm, 5)
    policy = NeighboursPerUser(PREPARED, near_strength=0.5, number=5, task_bonus=9.0)
    policy.fit(train, train)
    query = np.arange(60, 100)
    asked = choices(np.tile([0, 1, 7], 40), np.repeat(query, 3), [0] * 120, 5).decisions
    found = policy.score(train, asked).argmax(1).reshape(40, 3)
    np.testing.assert_array_equal(found[:, 0], np.where(TASK[query] == 0, 1, 2))
    assert (found[:, 1:] == 4).all()


def test_neighbours_are_smoothed_towards_the_users_mean():
    train = choices([0] * 60, np.arange(60), np.where(np.arange(60) < 30, 3, np.where(TASK[:60] == 0, 1, 2)), 5)
    policy = NeighboursPerUser(PREPARED, near_strength=1e6, number=3, task_bonus=9.0)
    policy.fit(train, train)
    assert (policy.score(train, choices([0] * 9, range(90, 99), [0] * 9, 5).decisions).argmax(1) == 3).all()


def test_nearest_queries_are_others_and_their_weights_sum_to_one():
    dataset = small_world()
    queries, seen = np.arange(10), np.arange(5, 60)
    near = nearest(dataset, queries, seen, 7, sharpness=5.0, task_bonus=0.0).toarray()
    np.testing.assert_allclose(near.sum(1), 1)
    assert not near[queries, queries].any()
    assert not near[:, :5].any()
    assert not near[:, 60:].any()
    unit = unit_vectors(dataset.vectors.query)
    for row in queries:
        others = seen[seen != row]
        close = others[np.argsort(-(unit[others] @ unit[row]))]
        cut = (unit[close[6]] @ unit[row]).item()
        assert ((unit[np.flatnonzero(near[row])] @ unit[row]) >= cut - 1e-6).all()


def test_a_bonus_brings_queries_of_the_same_task_near():
    dataset = small_world()
    task = dataset.data.queries.task
    near = nearest(dataset, np.arange(100), np.arange(100), 5, sharpness=5.0, task_bonus=9.0).tocoo()
    np.testing.assert_array_equal(task[near.row], task[near.col])


def test_fewer_seen_queries_than_neighbours_are_all_used():
    near = nearest(small_world(), np.arange(4), np.array([50, 51]), 30, 5.0, 0.0)
    assert near.toarray()[:, [50, 51]].all()
