"""Estimators against their formulas and against a known true value; intervals are in estimators_intervals_test."""

import numpy as np
import pytest
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.estimators import (
    ImportanceWeights,
    effective_size,
    estimate,
    importance_weights,
    logging_terms,
)
from prouter_jax.evaluation.off_policy.log import Log, build_contexts, deterministic_policy
from prouter_jax.evaluation.off_policy.propensity import fit_propensities
from prouter_jax.evaluation.off_policy.reward_model import predict_rewards


def _tiny():
    offered, rows = np.ones((4, 2), bool), np.arange(4)
    reward, propensity = np.array([1.0, 0, 1, 0.5]), np.array([0.5, 0.25, 0.8, 0.5])
    return Log(offered, np.array([0, 1, 0, 1]), reward, propensity, rows, rows, rows, np.ones(4))


def test_the_formulas():
    log, target = _tiny(), np.array([[1, 0], [0.5, 0.5], [0.4, 0.6], [1, 0]])
    weights = importance_weights(log, target, log.propensity)
    np.testing.assert_allclose(weights.weight, [2, 2, 0.5, 0])
    predicted = np.array([[0.5, 0.5], [1, 0], [0.5, 1], [0.25, 0.75]])
    found = {name: terms.value.mean() for name, terms in estimate(log, target, weights, predicted).items()}
    assert found["ips"] == pytest.approx((2 + 0 + 0.5 + 0) / 4)
    assert found["snips"] == pytest.approx(2.5 / 4.5)
    direct, residual = [0.5, 0.5, 0.8, 0.25], [2 * 0.5, 2 * 0.0, 0.5 * 0.5, 0]
    assert found["dr"] == pytest.approx((sum(direct) + sum(residual)) / 4)


def test_the_value_of_the_logging_policy_is_the_mean_reward():
    log, chances = make_log()
    weights = importance_weights(log, chances, log.propensity)
    np.testing.assert_allclose(weights.weight, 1)
    mean = logging_terms(log).interval(log.user)
    for terms in estimate(log, chances, weights, np.zeros((600, 3))).values():
        assert terms.interval(log.user) == pytest.approx(mean)
    assert effective_size(weights.weight) == pytest.approx(600)


def test_weights_are_cut_at_the_root_of_their_number():
    log = _tiny()
    found = importance_weights(log, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), np.array([0.1, 0.5, 1, 0.6]))
    np.testing.assert_allclose(found.weight, [2, 2, 1, 1 / 0.6])
    assert found.untruncated.tolist() == [False, True, True, True]


def test_an_effective_size_is_the_number_of_equal_weights():
    assert effective_size(np.array([2.0, 2, 0, 0])) == 2
    assert effective_size(np.zeros(3)) == 0


@pytest.mark.parametrize("logged", [True, False])
def test_each_estimator_finds_the_value_of_a_policy(logged):
    """Always selecting the last LLM has the value 2/3, the logging policy much less."""
    log, _ = make_log(8000, seed=3)
    target, contexts = deterministic_policy(np.full(8000, 2), 3), build_contexts(log)
    fitted = None if logged else fit_propensities(log, contexts)
    propensity = log.propensity if fitted is None else log.at_served(fitted.probabilities)
    found = estimate(
        log, target, importance_weights(log, target, propensity), predict_rewards(log, contexts, target), fitted
    )
    assert logging_terms(log).interval(log.user).high < 0.6
    for terms in found.values():
        interval = terms.interval(log.user)
        assert interval.low < 2 / 3 < interval.high
        assert interval.high - interval.low < 0.15


def test_dr_needs_the_propensities_or_the_rewards_to_be_right_but_not_both():
    log, _ = make_log(8000, seed=4)
    target, truth = deterministic_policy(np.full(8000, 2), 3), np.tile([0, 1 / 3, 2 / 3], (8000, 1))
    right, wrong = importance_weights(log, target, log.propensity), importance_weights(log, target, np.full(8000, 0.25))
    assert estimate(log, target, wrong, truth)["dr"].value.mean() == pytest.approx(2 / 3, abs=0.03)
    assert estimate(log, target, right, np.zeros_like(truth))["dr"].value.mean() == pytest.approx(2 / 3, abs=0.03)
    assert abs(estimate(log, target, wrong, np.zeros_like(truth))["dr"].value.mean() - 2 / 3) > 0.1


def test_a_difference_is_paired():
    log, _ = make_log()
    target = deterministic_policy(np.full(600, 2), 3)
    terms = estimate(log, target, importance_weights(log, target, log.propensity), np.zeros((600, 3)))["ips"]
    same = (terms - terms).interval(log.user)
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_cut_weights_do_not_depend_on_the_fit():
    log, _ = make_log(300)
    contexts, target = build_contexts(log), deterministic_policy(np.full(300, 2), 3)
    fitted = fit_propensities(log, contexts)
    cut = ImportanceWeights(np.full(300, 2.0), np.zeros(300, bool))
    for terms in estimate(log, target, cut, np.zeros((300, 3)), fitted).values():
        np.testing.assert_array_equal(terms.value, terms.influence)
