"""Comparison of policies: differences are detected, unsuitable logs are refused."""

import dataclasses

import numpy as np
import pytest
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.comparison import BEST_SINGLE, LOGGING, best_single, compare
from prouter_jax.evaluation.off_policy.log import deterministic_policy


def _found(log, picked):
    found = compare(log, {"router": deterministic_policy(picked, 3)})
    return found, {(line.policy, line.estimator): line for line in found.lines}


@pytest.mark.parametrize("logged", [True, False])
def test_a_router_that_picks_the_best_beats_the_log_and_ties_with_the_best_single_llm(logged):
    log, _ = make_log(6000, logged=logged)
    found, lines = _found(log, np.full(6000, 2))
    assert found.fitted is not logged
    assert (found.decisions, found.users, found.certain) == (6000, 60, 0)
    assert lines["router - logging policy", "dr"].interval.low > 0.1
    assert lines["router - best single LLM", "dr"].interval[:3] == (0, 0, 0)
    assert lines[LOGGING, "mean"].interval.mean == pytest.approx(log.reward.mean())
    assert set(lines) > {(name, by) for name in ("router", BEST_SINGLE) for by in ("ips", "snips", "dr")}
    assert 0 < lines["router", "dr"].effective < 6000
    assert lines["router", "dr"].mean_weight == pytest.approx(1, abs=0.1)


def test_a_router_that_picks_the_worst_loses():
    log, _ = make_log(6000)
    _, lines = _found(log, np.where(log.offered[:, 0], 0, 1))
    assert lines["router - best single LLM", "dr"].interval.high < 0


def test_deterministic_decisions_are_left_out():
    log, _ = make_log(1000)
    propensity = log.propensity.copy()
    propensity[:20] = 1.0
    found, _ = _found(dataclasses.replace(log, propensity=propensity), np.full(1000, 2))
    assert (found.decisions, found.certain) == (980, 20)


def test_unsuitable_logs_are_refused():
    log, _ = make_log(300)
    picked = np.full(300, 2)
    some = dataclasses.replace(log, propensity=np.where(np.arange(300) < 7, np.nan, log.propensity))
    with pytest.raises(ValueError, match="propensity: expected one in every row or in none, found 7 of 300 without"):
        _found(some, picked)
    with pytest.raises(
        ValueError, match="expected at least 100 decisions with a reward, of two users or more, found 50"
    ):
        _found(log.take(np.arange(50)), picked[:50])
    with pytest.raises(ValueError, match="of two users or more, found 300 of 1"):
        _found(dataclasses.replace(log, user=np.zeros(300, int)), picked)
    sure = dataclasses.replace(log, propensity=np.ones(300))
    with pytest.raises(ValueError, match="stochastic logging policy"):
        _found(sure, picked)
    by_length = np.where(log.length < 500, 1, 2)  # as a rule would
    sure = dataclasses.replace(log, served=by_length, propensity=np.full(300, np.nan))
    with pytest.raises(ValueError, match="with a mean probability of"):
        _found(sure, picked)


def test_the_best_single_llm_is_chosen_without_the_rewards_of_its_own_fold():
    log, _ = make_log(4000)
    np.testing.assert_array_equal(best_single(log, log.propensity), deterministic_policy(np.full(4000, 2), 3))
    own = log.user == 0
    lucky = dataclasses.replace(log, reward=np.where(own, (log.served == 1) * 1000.0, log.reward))
    found = best_single(lucky, log.propensity)
    np.testing.assert_array_equal(found[own], deterministic_policy(np.full(own.sum(), 2), 3))
    assert (found[~own][:, 1] == 1).any()


def test_where_the_best_is_not_on_offer_the_next_best_is_picked():
    log, _ = make_log(4000)
    offered = log.offered.copy()
    offered[(log.served == 1) & (np.arange(4000) % 2 == 0), 2] = False
    found = best_single(dataclasses.replace(log, offered=offered), log.propensity)
    np.testing.assert_array_equal(found[:, 1], ~offered[:, 2])
