"""Selection of decisions."""

import numpy as np
import pytest
from policy_cases import choices, labelled

from prouter_jax.evaluation.baselines import base
from prouter_jax.evaluation.baselines.base import first_decisions, select, select_decisions

HISTORY = choices([1, 0, 1, 1, 0], [10, 11, 12, 13, 14], [0, 1, 0, 1, 0], 2)


def test_each_user_keeps_its_first_decisions():
    assert first_decisions(HISTORY, 2).decisions.query.tolist() == [10, 11, 12, 14]
    assert first_decisions(HISTORY, np.array([0, 1])).decisions.query.tolist() == [10]
    backwards = first_decisions(HISTORY, 1, order=-np.arange(5))
    assert backwards.decisions.query.tolist() == [13, 14]


def test_rewards_go_with_their_decisions():
    some = select(HISTORY, np.array([3, 0]))
    assert some.decisions.query.tolist() == [13, 10]
    assert some.rewards.tolist() == [[0, 1], [1, 0]]
    assert select_decisions(HISTORY.decisions, slice(1, 3)).query.tolist() == [11, 12]


NAN = np.nan
REWARDS = np.array([[1, 0, NAN], [0.5, 0.5, NAN], [NAN, 1, 0]], np.float32)


def test_shares_of_choices_are_recognised():
    assert base.are_choices(labelled([0] * 3, [0] * 3, REWARDS))
    assert not base.are_choices(labelled([0] * 3, [0] * 3, REWARDS * 0.9))


def test_sums_and_numbers_of_groups_leave_out_unobserved_rewards():
    total, count = base.group_sums(REWARDS, np.array([1, 1, 0]), 3)
    np.testing.assert_allclose(total, [[0, 1, 0], [1.5, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(count, [[0, 1, 1], [2, 2, 0], [0, 0, 0]])


def test_smoothing_goes_from_the_prior_to_the_mean():
    total, count = np.array([0.0, 3.0, 300.0]), np.array([0.0, 3.0, 300.0])
    np.testing.assert_allclose(base.smooth(total, count, np.full(3, 0.5), 3.0), [0.5, 0.75, 301.5 / 303])
    np.testing.assert_allclose(base.smooth(total, count, np.full(3, 0.5), 0.0), [0.5, 1, 1])


def test_an_llm_without_rewards_counts_as_an_average_one():
    rewards = np.array([[1, 0, NAN], [1, 0, NAN]], np.float32)
    np.testing.assert_allclose(base.population_means(rewards), [2.5 / 3, 0.5 / 3, 0.5])


def test_the_best_rewards_share_a_choice():
    rewards = np.array([[0.2, 0.7, 0.7], [NAN, -1, -2]])
    np.testing.assert_allclose(base.best_shares(rewards), [[0, 0.5, 0.5], [NAN, 1, 0]])


def test_shares_become_logits_and_rewards_stay():
    values = np.array([0.5, 0.0])
    found = base.as_logits(values, choices=True)
    assert found[0] == pytest.approx(np.log(0.5))
    assert np.isfinite(found[1])
    np.testing.assert_array_equal(base.as_logits(values, choices=False), values)


def test_sums_of_tasks():
    table = np.array([[1, NAN], [3, 4], [5, 6]])
    total, count = base.task_sums(table, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(total, [[4, 4], [0, 0], [5, 6]])
    np.testing.assert_array_equal(count, [[2, 1], [0, 0], [1, 1]])
