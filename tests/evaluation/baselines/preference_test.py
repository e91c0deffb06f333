"""Weights of quality, estimated from histories."""

import numpy as np
import pytest
from policy_cases import parts, small_world

from prouter_jax.dataset import Labelled
from prouter_jax.evaluation.baselines.base import best_shares, select
from prouter_jax.evaluation.baselines.preference import (
    InferredPreference,
    TaskMeansTruePreference,
    estimate_preferences,
    observed_outcomes,
)


def test_rewards_determine_preferences_exactly():
    dataset = small_world("multi_cost_efficiency")
    found = estimate_preferences(dataset.labelled("train"), *observed_outcomes(dataset), 8)
    np.testing.assert_allclose(found, dataset.data.users.preference, atol=1e-5)


def test_choices_determine_the_order_of_preferences():
    dataset = small_world("multi_cost_efficiency")
    train = dataset.labelled("train")
    chosen = Labelled(train.decisions, best_shares(train.rewards))
    found = estimate_preferences(chosen, *observed_outcomes(dataset), 8)
    assert np.corrcoef(found, dataset.data.users.preference)[0, 1] > 0.9


def test_a_user_without_history_counts_as_an_average_one():
    dataset = small_world("multi_cost_efficiency")
    train = dataset.labelled("train")
    others = select(train, train.decisions.user != 7)
    found = estimate_preferences(others, *observed_outcomes(dataset), 8)
    assert found[7] == pytest.approx(found[:7].mean())


def test_outcomes_of_test_queries_are_not_seen():
    dataset = small_world("multi_cost_efficiency")
    hidden = np.unique(dataset.labelled("test").decisions.query)
    effect, cost = observed_outcomes(dataset)
    assert np.isnan(effect[hidden]).all()
    assert np.isnan(cost[hidden]).all()
    assert not np.isnan(effect[dataset.world_query >= 0]).all()


def test_a_policy_of_inferred_preferences_serves_users_of_both_extremes():
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    policy = InferredPreference(dataset)
    policy.fit(train, validation)
    picked = policy.score(train, test.decisions).argmax(1)
    cost = np.nanmean(observed_outcomes(dataset)[1], axis=0)[picked]
    assert cost[test.decisions.user == 0].mean() < cost[test.decisions.user == 7].mean()


def test_told_preferences_score_as_well_as_those_that_rewards_determine():
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    inferred, told = InferredPreference(dataset), TaskMeansTruePreference(dataset)
    for policy in (inferred, told):
        policy.fit(train, validation)
    expected = inferred.score(train, test.decisions)
    np.testing.assert_allclose(told.score(select(train, np.zeros(0, int)), test.decisions), expected, atol=1e-5)
