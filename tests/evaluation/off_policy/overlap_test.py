"""Logs of deterministic policies are refused, with the reason; logs of stochastic policies are not."""

import dataclasses

import numpy as np
import pytest
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.overlap import (
    check_contexts,
    check_fitted_propensities,
    check_logged_propensities,
)


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
