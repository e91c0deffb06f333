"""Ridge regression against its definition; the policy is tested with the others, in policies_test."""

import numpy as np

from prouter_jax.evaluation.baselines.ridge import ridge_forecasts


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
