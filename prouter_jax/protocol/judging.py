"""From scores to the numbers of a measurement: every contestant by the same lines."""

import math
from collections.abc import Mapping

import numpy as np

from prouter_jax import metrics
from prouter_jax.decisions import choice_shares
from prouter_jax.policies.selection import select
from prouter_jax.prepare import Labelled

LOG_LOSS = "log_loss"


def judge(
    scores: Mapping[str, np.ndarray], validation: Labelled, test: Labelled, metric: str
) -> dict[str, dict[str, float]]:
    """Reward, accuracy (ties left out), top-2, log loss and calibration on test, and `metric` on validation, by name.

    All pick among the candidates whose reward is known. A score becomes a logit by one factor, fitted on validation.

    Args:
      scores: [validation decisions, then test decisions; llms].
    """
    cut = len(validation.decisions.user)
    found = {}
    for name, both in scores.items():
        factor = _temperature(both[:cut], validation)
        numbers = _numbers(both[cut:], test, factor)
        found[name] = numbers | {"validation": _numbers(both[:cut], validation, factor)[metric]}
    return found


def _temperature(scores: np.ndarray, labelled: Labelled) -> float:
    known, shares = ~np.isnan(labelled.rewards), choice_shares(labelled.decisions)
    rows = known.any(1) & shares.any(1)
    return metrics.fit_temperature(scores[rows], known[rows], shares[rows]) if rows.any() else math.nan


def _numbers(scores: np.ndarray, labelled: Labelled, factor: float) -> dict[str, float]:
    known = ~np.isnan(labelled.rewards)
    rows = np.flatnonzero(known.any(1))
    labelled, known, scores = select(labelled, rows), known[rows], scores[rows]
    shares, picked = choice_shares(labelled.decisions), metrics.choose(scores, known)
    numbers = {
        "reward": metrics.mean(metrics.of_picks(labelled.rewards, picked)),
        "accuracy": metrics.accuracy_without_ties(picked, shares),
        "top2": metrics.mean(metrics.top_k(scores, known, shares, 2)),
    }
    if math.isnan(factor):
        return numbers | {LOG_LOSS: math.nan, "calibration": math.nan}
    logits = factor * scores
    loss = metrics.mean(metrics.log_loss(logits, known, shares))
    return numbers | {LOG_LOSS: loss, "calibration": metrics.calibration_error(logits, known, shares)}
