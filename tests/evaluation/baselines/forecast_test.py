"""The weight of quality that a history tells."""

import numpy as np
import pytest
from policy_cases import parts, small_world

from prouter_jax.dataset import Labelled
from prouter_jax.evaluation.baselines.base import best_shares, select
from prouter_jax.evaluation.baselines.forecast import InferredPreference, estimate_preferences, seen_outcomes, task_sums


def test_rewards_tell_preferences_exactly():
    dataset = small_world("multi_cost_efficiency")
    found = estimate_preferences(dataset.labelled("train"), *seen_outcomes(dataset), 8)
    np.testing.assert_allclose(found, dataset.data.users.preference, atol=1e-5)


def test_choices_tell_the_order_of_preferences():
    dataset = small_world("multi_cost_efficiency")
    train = dataset.labelled("train")
    chosen = Labelled(train.decisions, best_shares(train.rewards))
    found = estimate_preferences(chosen, *seen_outcomes(dataset), 8)
    assert np.corrcoef(found, dataset.data.users.preference)[0, 1] > 0.9


def test_a_user_without_history_is_taken_for_an_average_one():
    dataset = small_world("multi_cost_efficiency")
    train = dataset.labelled("train")
    others = select(train, train.decisions.user != 7)
    found = estimate_preferences(others, *seen_outcomes(dataset), 8)
    assert found[7] == pytest.approx(found[:7].mean())


def test_outcomes_of_test_queries_are_not_seen():
    dataset = small_world("multi_cost_efficiency")
    hidden = np.unique(dataset.labelled("test").decisions.query)
    effect, cost = seen_outcomes(dataset)
    assert np.isnan(effect[hidden]).all()
    assert np.isnan(cost[hidden]).all()
    assert not np.isnan(effect[dataset.world_query >= 0]).all()


def test_sums_of_tasks():
    table = np.array([[1, np.nan], [3, 4], [5, 6]])
    total, count = task_sums(table, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(total, [[4, 4], [0, 0], [5, 6]])
    np.testing.assert_array_equal(count, [[2, 1], [0, 0], [1, 1]])


def test_a_policy_of_inferred_preferences_serves_thrifty_and_lavish_users():
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    policy = InferredPreference(dataset)
    policy.fit(train, validation)
    picked = policy.score(train, test.decisions).argmax(1)
    cost = np.nanmean(seen_outcomes(dataset)[1], axis=0)[picked]
    assert cost[test.decisions.user == 0].mean() < cost[test.decisions.user == 7].mean()
