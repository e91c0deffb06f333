"""Estimators against their formulas, and against a truth that is known."""

import numpy as np
import pytest
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.estimators import (
    Weighed,
    effective_size,
    estimate,
    foresee_rewards,
    of_logging,
    weigh,
)
from prouter_jax.evaluation.off_policy.log import Log, always, build_contexts
from prouter_jax.evaluation.off_policy.propensity import fit_propensities


def _tiny():
    offered, rows = np.ones((4, 2), bool), np.arange(4)
    reward, propensity = np.array([1.0, 0, 1, 0.5]), np.array([0.5, 0.25, 0.8, 0.5])
    return Log(offered, np.array([0, 1, 0, 1]), reward, propensity, rows, rows, rows, np.ones(4))


def test_the_formulas():
    log, target = _tiny(), np.array([[1, 0], [0.5, 0.5], [0.4, 0.6], [1, 0]])
    weighed = weigh(log, target, log.propensity)
    np.testing.assert_allclose(weighed.weight, [2, 2, 0.5, 0])
    foreseen = np.array([[0.5, 0.5], [1, 0], [0.5, 1], [0.25, 0.75]])
    found = {name: terms.value.mean() for name, terms in estimate(log, target, weighed, foreseen).items()}
    assert found["ips"] == pytest.approx((2 + 0 + 0.5 + 0) / 4)
    assert found["snips"] == pytest.approx(2.5 / 4.5)
    direct, beside = [0.5, 0.5, 0.8, 0.25], [2 * 0.5, 2 * 0.0, 0.5 * 0.5, 0]
    assert found["dr"] == pytest.approx((sum(direct) + sum(beside)) / 4)


def test_the_logs_own_policy_is_worth_its_mean():
    log, chances = make_log()
    weighed = weigh(log, chances, log.propensity)
    np.testing.assert_allclose(weighed.weight, 1)
    mean = of_logging(log).interval(log.user)
    for terms in estimate(log, chances, weighed, np.zeros((600, 3))).values():
        assert terms.interval(log.user) == pytest.approx(mean)
    assert effective_size(weighed.weight) == pytest.approx(600)


def test_weights_are_cut_at_the_root_of_their_number():
    log = _tiny()
    found = weigh(log, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), np.array([0.1, 0.5, 1, 0.6]))
    np.testing.assert_allclose(found.weight, [2, 2, 1, 1 / 0.6])
    assert found.whole.tolist() == [False, True, True, True]


def test_an_effective_size_is_the_number_of_equal_weights():
    assert effective_size(np.array([2.0, 2, 0, 0])) == 2
    assert effective_size(np.zeros(3)) == 0


@pytest.mark.parametrize("told", [True, False])
def test_each_estimator_finds_the_worth_of_a_policy(told):
    """Of always picking the last LLM, 2/3; what the log picked is worth much less."""
    log, _ = make_log(8000, seed=3)
    target, contexts = always(np.full(8000, 2), 3), build_contexts(log)
    fitted = None if told else fit_propensities(log, contexts)
    propensity = log.propensity if fitted is None else log.of_served(fitted.chances)
    found = estimate(log, target, weigh(log, target, propensity), foresee_rewards(log, contexts, target), fitted)
    assert of_logging(log).interval(log.user).high < 0.6
    for terms in found.values():
        interval = terms.interval(log.user)
        assert interval.low < 2 / 3 < interval.high
        assert interval.high - interval.low < 0.15


def test_dr_needs_the_propensities_or_the_rewards_to_be_right_but_not_both():
    log, _ = make_log(8000, seed=4)
    target, truth = always(np.full(8000, 2), 3), np.tile([0, 1 / 3, 2 / 3], (8000, 1))
    right, wrong = weigh(log, target, log.propensity), weigh(log, target, np.full(8000, 0.25))
    assert estimate(log, target, wrong, truth)["dr"].value.mean() == pytest.approx(2 / 3, abs=0.03)
    assert estimate(log, target, right, np.zeros_like(truth))["dr"].value.mean() == pytest.approx(2 / 3, abs=0.03)
    assert abs(estimate(log, target, wrong, np.zeros_like(truth))["dr"].value.mean() - 2 / 3) > 0.1


def test_a_difference_is_paired():
    log, _ = make_log()
    target = always(np.full(600, 2), 3)
    terms = estimate(log, target, weigh(log, target, log.propensity), np.zeros((600, 3)))["ips"]
    same = (terms - terms).interval(log.user)
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_cut_weights_do_not_depend_on_the_fit():
    log, _ = make_log(300)
    contexts, target = build_contexts(log), always(np.full(300, 2), 3)
    fitted = fit_propensities(log, contexts)
    cut = Weighed(np.full(300, 2.0), np.zeros(300, bool))
    for terms in estimate(log, target, cut, np.zeros((300, 3)), fitted).values():
        np.testing.assert_array_equal(terms.value, terms.influence)
