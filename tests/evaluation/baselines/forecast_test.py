"""Forecasts that all users share, personalised by the user's history."""

import numpy as np
import pytest
from policy_cases import choices, parts, small_world

from prouter_jax import metrics
from prouter_jax.evaluation.baselines.forecast import QueryForecast, ridge_forecasts
from prouter_jax.evaluation.baselines.simple import BestSingle


class MeanForecast(QueryForecast):
    """Forecasts the mean of each LLM."""

    name = "mean_forecast"

    def _fit_deviations(self, seen, deviation):
        self.fitted = seen, deviation

    def _predict_deviations(self, queries):
        return np.zeros((len(queries), self.fitted[1].shape[1]))


def test_others_choices_on_a_query_go_before_the_forecast():
    """Everybody likes LLM 0 but on query 3, where they choose LLM 2."""
    dataset = small_world()
    user, query = np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6)
    train = choices(user, query, np.where(query == 3, 2, 0), 5)
    policy = MeanForecast(dataset, query_strength=1.0, own_strength=5.0)
    policy.fit(train, train)
    asked = choices([7, 7], [3, 50], [0, 0], 5).decisions
    assert policy.score(train, asked).argmax(1).tolist() == [2, 0]
    stubborn = MeanForecast(dataset, query_strength=1e4, own_strength=5.0)
    stubborn.fit(train, train)
    assert stubborn.score(train, asked).argmax(1).tolist() == [0, 0]


def test_a_user_shifts_the_forecast_by_its_own_shares():
    dataset = small_world()
    user = np.repeat(np.arange(4), 20)
    train = choices(user, np.tile(np.arange(20), 4), np.where(user == 3, 1, 0), 5)
    policy = MeanForecast(dataset)
    policy.fit(train, train)
    asked = choices([3, 0, 5], [50] * 3, [0] * 3, 5).decisions
    assert policy.score(train, asked).argmax(1).tolist() == [1, 0, 0]


def test_effects_and_costs_are_combined_by_the_estimated_preference():
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    policy = MeanForecast(dataset)
    policy.fit(train, validation)
    found, weight = policy.score(train, test.decisions), dataset.data.users.preference[test.decisions.user]
    np.testing.assert_allclose(
        found, policy.score_with_preferences(dataset.data.users.preference, test.decisions), atol=1e-5
    )
    seen, deviation = policy.fitted
    assert deviation.shape == (len(seen), 10)
    # linear in the preference: weight 0 gives the cost, weight 1 the effect
    effect, cost = (policy.score_with_preferences(np.full(8, w), test.decisions) for w in (1.0, 0.0))
    np.testing.assert_allclose(found, weight[:, None] * effect + (1 - weight[:, None]) * cost, atol=1e-5)


@pytest.mark.parametrize("users", ["recorded", "multi_cost_efficiency"])
def test_personal_forecasts_beat_the_best_single_llm(users):
    dataset = small_world(users)
    train, validation, test = parts(dataset)
    reward = []
    for policy in (MeanForecast(dataset), BestSingle()):
        policy.fit(train, validation)
        picked = metrics.choose(policy.score(train, test.decisions), ~np.isnan(test.rewards))
        reward.append(metrics.mean(metrics.values_of_selected(test.rewards, picked)))
    assert reward[0] > reward[1]


def test_ridge_is_the_solution_of_the_penalised_normal_equations():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(50, 4)) + 3, rng.normal(size=(30, 2))
    seen = np.arange(50) < 30
    x, y = features[seen] - features[seen].mean(0), targets - targets.mean(0)
    penalties = [10.0, 0.1]
    for penalty, found in zip(penalties, ridge_forecasts(features, seen, targets, penalties), strict=True):
        coefficients = np.linalg.solve(x.T @ x + penalty * np.eye(4), x.T @ y)
        expected = (features - features[seen].mean(0)) @ coefficients + targets.mean(0)
        np.testing.assert_allclose(found, expected)


def test_ridge_takes_a_missing_outcome_for_the_mean_and_bears_unused_features():
    features, seen = np.zeros((4, 2)), np.ones(4, bool)
    targets = np.array([[1.0, np.nan], [3, 5], [np.nan, 5], [2, 5]])
    (found,) = ridge_forecasts(features, seen, targets, [1e-3])
    np.testing.assert_allclose(found, [[2, 5]] * 4)
