"""Means in groups, against values computed by hand."""

import numpy as np
import pytest
from policy_cases import labelled

from prouter_jax.evaluation.baselines import means

NAN = np.nan
REWARDS = np.array([[1, 0, NAN], [0.5, 0.5, NAN], [NAN, 1, 0]], np.float32)


def test_shares_of_choices_are_recognised():
    assert means.are_choices(labelled([0] * 3, [0] * 3, REWARDS))
    assert not means.are_choices(labelled([0] * 3, [0] * 3, REWARDS * 0.9))


def test_sums_and_numbers_of_groups_leave_out_unobserved_rewards():
    total, count = means.group_sums(REWARDS, np.array([1, 1, 0]), 3)
    np.testing.assert_allclose(total, [[0, 1, 0], [1.5, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(count, [[0, 1, 1], [2, 2, 0], [0, 0, 0]])


def test_smoothing_goes_from_the_prior_to_the_mean():
    total, count = np.array([0.0, 3.0, 300.0]), np.array([0.0, 3.0, 300.0])
    np.testing.assert_allclose(means.smooth(total, count, np.full(3, 0.5), 3.0), [0.5, 0.75, 301.5 / 303])
    np.testing.assert_allclose(means.smooth(total, count, np.full(3, 0.5), 0.0), [0.5, 1, 1])


def test_an_llm_without_rewards_counts_as_an_average_one():
    rewards = np.array([[1, 0, NAN], [1, 0, NAN]], np.float32)
    np.testing.assert_allclose(means.population_means(rewards), [2.5 / 3, 0.5 / 3, 0.5])


def test_the_best_rewards_share_a_choice():
    rewards = np.array([[0.2, 0.7, 0.7], [NAN, -1, -2]])
    np.testing.assert_allclose(means.best_shares(rewards), [[0, 0.5, 0.5], [NAN, 1, 0]])


def test_shares_become_logits_and_rewards_stay():
    values = np.array([0.5, 0.0])
    found = means.as_logits(values, choices=True)
    assert found[0] == pytest.approx(np.log(0.5))
    assert np.isfinite(found[1])
    np.testing.assert_array_equal(means.as_logits(values, choices=False), values)


def test_sums_of_tasks():
    table = np.array([[1, NAN], [3, 4], [5, 6]])
    total, count = means.task_sums(table, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(total, [[4, 4], [0, 0], [5, 6]])
    np.testing.assert_array_equal(count, [[2, 1], [0, 0], [1, 1]])
