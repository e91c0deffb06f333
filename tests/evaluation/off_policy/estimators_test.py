"""Estimators against their formulas and against a known true value; intervals are in estimators_intervals_test."""

import dataclasses
import math

import numpy as np
import pytest
from off_policy_cases import make_log
from scipy import special

from prouter_jax.evaluation.off_policy.estimators import (
    ImportanceWeights,
    _inverse_hall,
    effective_size,
    estimate,
    fold_users,
    importance_weights,
    interval_over_users,
    logging_terms,
    predict_rewards,
)
from prouter_jax.evaluation.off_policy.log import Log, build_contexts, deterministic_policy
from prouter_jax.evaluation.off_policy.propensity import fit_propensities


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


def _half(found):
    return (found.high - found.low) / 2


def test_even_independent_values_have_the_usual_interval():
    values = np.concatenate([(draws := np.random.default_rng(0).normal(size=500)), -draws])
    found = interval_over_users(5.0, values, np.arange(1000))
    usual = special.stdtrit(999, 0.975) * values.std(ddof=1) / math.sqrt(1000)
    assert found.mean == 5.0
    assert _half(found) == pytest.approx(usual, rel=0.002)
    assert (found.high + found.low) / 2 == pytest.approx(5.0, abs=1e-9)


def test_duplicated_decisions_do_not_narrow_the_interval():
    values, user = np.random.default_rng(0).normal(size=300), np.arange(300) % 50
    once, twice = (interval_over_users(0.0, np.tile(values, n), np.tile(user, n)) for n in (1, 2))
    assert (once.low, once.high) == pytest.approx((twice.low, twice.high))


def test_users_that_differ_make_it_wide():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(50), 20)
    values = rng.normal(size=50)[user] + rng.normal(size=1000)
    by_user, as_if_alone = (interval_over_users(0.0, values, groups) for groups in (user, np.arange(1000)))
    assert _half(by_user) > 2 * _half(as_if_alone)


def test_a_skewed_distribution_shifts_the_interval():
    values = np.random.default_rng(0).exponential(size=100)
    right, left = (interval_over_users(0.0, sign * values, np.arange(100)) for sign in (1, -1))
    assert right.high > -right.low > 0
    assert (left.low, left.high) == pytest.approx((-right.high, -right.low))


@pytest.mark.parametrize("skewness", [-0.4, -1e-7, 0.02, 0.4])
@pytest.mark.parametrize("quantile", [-2.0, 0.5, 2.0])
def test_the_inverse_of_halls_polynomial(skewness, quantile):
    found = _inverse_hall(quantile, skewness)
    back = found + skewness * found**2 / 3 + skewness**2 * found**3 / 27 + skewness / 6
    assert back == pytest.approx(quantile, abs=1e-6)


def test_one_user_has_no_interval():
    found = interval_over_users(1.0, np.ones(5), np.zeros(5, int))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_equal_values_have_no_width():
    found = interval_over_users(1.0, np.ones(5), np.arange(5))
    assert (found.low, found.high) == (1.0, 1.0)


def test_intervals_of_means_of_skewed_draws_cover_the_true_value():
    rng, held = np.random.default_rng(1), 0
    for _ in range(2000):
        draws = rng.exponential(size=60)
        found = interval_over_users(draws.mean(), draws, np.arange(60))
        held += found.low <= 1 <= found.high
    assert 0.935 < held / 2000 < 0.97


def test_the_mean_reward_of_each_llm_is_predicted():
    log, _ = make_log(6000)
    found = predict_rewards(log, build_contexts(log)).mean(0)
    np.testing.assert_allclose(found[1:], [1 / 3, 2 / 3], atol=0.05)
    assert found[0] < 0.25  # it was hardly ever picked, so it is drawn towards the mean of all


def test_a_users_own_rewards_do_not_change_its_predictions():
    log, _ = make_log()
    contexts, own = build_contexts(log), log.user == log.user[0]
    other = dataclasses.replace(log, reward=np.where(own, 50.0, log.reward))
    before, after = predict_rewards(log, contexts), predict_rewards(other, contexts)
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


def test_hints_are_used():
    log, chances = make_log(3000)
    hinted = dataclasses.replace(log, reward=log.at_served(chances))
    errors = [
        np.abs(predict_rewards(hinted, build_contexts(log)[:, :1], hints) - chances)[log.offered].mean()
        for hints in (None, chances)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_all_decisions_of_a_user_are_in_one_fold_and_folds_are_alike():
    user = np.random.default_rng(0).integers(0, 1000, 5000)
    fold = fold_users(user)
    assert all(len(set(fold[user == one])) == 1 for one in range(50))
    assert (abs(np.bincount(fold) / 5000 - 0.2) < 0.03).all()
    assert len(set(fold_users(np.array([3, 3, 9])))) == 2
