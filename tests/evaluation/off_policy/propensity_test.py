"""The model of the logging policy: it recovers a softmax, is calibrated, and corrects for the influence of its fit."""

import dataclasses

import numpy as np
import pytest
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy import propensity
from prouter_jax.evaluation.off_policy.log import build_contexts
from prouter_jax.evaluation.off_policy.propensity import (
    check_contexts,
    check_fitted_propensities,
    check_logged_propensities,
    fit_propensities,
)


def test_a_softmax_of_the_contexts_is_recovered():
    log, chances = make_log(20000)
    found = fit_propensities(log, build_contexts(log)).probabilities
    assert abs(found - chances).mean() < 0.01
    assert (found[~log.offered] == 0).all()
    np.testing.assert_allclose(found.sum(1), 1)


def test_it_is_calibrated_on_the_log():
    log, _ = make_log(3000)
    found = fit_propensities(log, build_contexts(log)).probabilities
    picks = np.eye(3)[log.served]
    for rows in (log.task == 0, log.task == 1, log.offered[:, 0], ~log.offered[:, 0]):
        np.testing.assert_allclose(found[rows].mean(0), picks[rows].mean(0), atol=2e-3)


def test_the_correction_is_the_influence_of_a_decision_through_the_fit():
    """Leaving a decision out of the fit moves a mean of reward / chance by as much, the other way."""
    log, _ = make_log(500)
    log = dataclasses.replace(log, offered=np.ones_like(log.offered))
    contexts = build_contexts(log)
    fitted = fit_propensities(log, contexts)
    terms = log.reward / log.at_served(fitted.probabilities)
    expected = fitted.correction(terms) / 500
    moved = []
    for row in range(40):
        kept = np.arange(500) != row
        logits = contexts @ _weights(log.take(kept), contexts[kept])
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        moved.append(terms.mean() - (log.reward / log.at_served(chances)).mean())
    np.testing.assert_allclose(moved, expected[:40], atol=0.05 * abs(expected).max())
    assert np.corrcoef(moved, expected[:40])[0, 1] > 0.98


def test_without_slope_there_is_nothing_to_correct():
    log, _ = make_log(200)
    fitted = fit_propensities(log, build_contexts(log))
    assert (fitted.correction(np.zeros(200)) == 0).all()


def test_predictable_selections_are_fitted_without_an_overflow():
    log, _ = make_log(400)
    sure = dataclasses.replace(log, served=np.where(log.task == 1, 2, 1), offered=np.ones_like(log.offered))
    found = fit_propensities(sure, build_contexts(sure)).probabilities
    assert np.isfinite(found).all()
    assert sure.at_served(found).mean() > 0.9


def _weights(log, contexts):
    """The weights of a fit where all LLMs are on offer, but for what moves all LLMs alike."""
    logits = np.log(fit_propensities(log, contexts).probabilities)
    return np.linalg.lstsq(contexts, logits - logits[:, -1:], rcond=None)[0]


def test_the_hessian_is_the_derivative_of_the_gradient():
    log, _ = make_log(60)
    contexts, picks, step = build_contexts(log), np.eye(3)[log.served], 1e-5
    flat = np.random.default_rng(0).normal(size=3 * contexts.shape[1])

    def chances(flat):
        return propensity._probabilities(contexts, flat.reshape(3, -1).T, log.offered)

    def slope(flat):
        return (contexts.T @ (picks - chances(flat))).T.reshape(-1) - propensity._RIDGE * flat

    numeric = [(slope(flat - step * one) - slope(flat + step * one)) / (2 * step) for one in np.eye(len(flat))]
    np.testing.assert_allclose(propensity._hessian(contexts, chances(flat)), numeric, atol=1e-5)


def test_a_few_deterministic_decisions_are_left_out():
    propensity = np.full(100, 0.5)
    propensity[:5] = 1.0
    assert check_logged_propensities(propensity).tolist() == [False] * 5 + [True] * 95
    propensity[5] = 1.0
    with pytest.raises(ValueError, match=r"found 6 of 100 decisions with propensity 1: .* zero propensity"):
        check_logged_propensities(propensity)


DETERMINISTIC = {
    "candidates": lambda log: 2 - log.offered[:, 0],
    "candidates, task": lambda log: 1 + log.task,
    "candidates, user": lambda log: 1 + log.user % 2,
    "candidates, task, user": lambda log: 1 + (log.user + log.task) % 2,
    "candidates, query": lambda log: 1 + log.query % 2,
}


@pytest.mark.parametrize("names", DETERMINISTIC)
def test_selections_that_follow_from_a_context_are_refused(names):
    log, _ = make_log(2000, users=20)
    log = dataclasses.replace(log, query=np.arange(2000) % 37, offered=np.ones_like(log.offered))
    check_contexts(log)
    sure = dataclasses.replace(log, served=DETERMINISTIC[names](log))
    with pytest.raises(ValueError, match=r"found that the same candidates.* always get the same LLM"):
        check_contexts(sure)


def test_contexts_that_rarely_repeat_are_accepted():
    log, _ = make_log(400)
    rare = dataclasses.replace(log, user=np.arange(400), query=np.arange(400))
    check_contexts(rare)


def test_predictable_selections_are_refused():
    check_fitted_propensities(np.full(10, 0.9))
    with pytest.raises(ValueError, match=r"predict with a mean probability of 0.990"):
        check_fitted_propensities(np.full(10, 0.99))
