"""Favourites, trusted as far as histories are long."""

import numpy as np
import pytest
from policy_cases import choices, parts, small_world

from prouter_jax.evaluation.baselines.simple import SmoothedFavourite, SmoothedUserTask


def test_few_choices_move_a_user_little_and_many_move_it_far():
    """The population likes LLM 0; user 1 chose LLM 1 once, user 2 did so thirty times."""
    dataset = small_world()
    train = choices([0] * 30 + [1] + [2] * 30, [0] * 61, [0] * 30 + [1] + [1] * 30, 5)
    asked = choices([1, 2, 3], [0] * 3, [0] * 3, 5).decisions
    policy = SmoothedFavourite(dataset, strength=8.0)
    policy.fit(train, train)
    population = (np.array([30, 31, 0, 0, 0]) + 0.2) / 62
    expected = [(np.array([0, n, 0, 0, 0]) + 8 * population) / (n + 8) for n in (1, 30, 0)]
    np.testing.assert_allclose(policy.score(train, asked), np.log(np.maximum(expected, 0.01)), rtol=1e-6)


def test_a_task_changes_everybody_as_far_as_it_is_known():
    """User 0 likes LLM 0 on task A, all others LLM 1 on task B; on B user 0 has no history of its own."""
    dataset = small_world()
    task = dataset.data.queries.task
    a, b = (int(np.flatnonzero(task == row)[0]) for row in (0, 1))
    train = choices([0] * 10 + [1] * 30 + [2] * 30, [a] * 10 + [b] * 60, [0] * 10 + [1] * 60, 5)
    asked = choices([0, 0], [a, b], [0, 0], 5).decisions
    policy = SmoothedUserTask(dataset, strength=8.0, task_strength=3.0)
    policy.fit(train, train)
    assert policy.score(train, asked).argmax(1).tolist() == [0, 1]
    careful = SmoothedUserTask(dataset, strength=0.1, task_strength=1e6)
    careful.fit(train, train)
    assert careful.score(train, asked).argmax(1).tolist() == [0, 0]


@pytest.mark.parametrize("kind", [SmoothedFavourite, SmoothedUserTask])
def test_rewards_are_not_turned_into_logits(kind):
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    policy = kind(dataset)
    policy.fit(train, validation)
    found = policy.score(train, test.decisions)
    assert np.nanmin(train.rewards) <= found.min()
    assert found.max() <= np.nanmax(train.rewards)
