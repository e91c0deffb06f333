"""Evaluates the scores of policies on test decisions: mean rewards, probabilities, and users who do worse.

A policy gives each candidate LLM of a decision a score and picks the best-scored one.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from prouter_jax import metrics
from prouter_jax.data.rewards import choice_shares
from prouter_jax.dataset import Labelled
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.report.types import ROUTER

USER_BLIND, LOG_LOSS = "user_blind", "log_loss"
_PROBABILITIES = (LOG_LOSS, "calibration", "calibration_by_chance", "slope")
_ROUNDING = 1e-4  # of the scores of users without history, in float32
_NO_TEMPERATURES: Mapping[str, float] = MappingProxyType({})


def evaluate_scores(
    scores: Mapping[str, Float[np.ndarray, "both llms"]],
    validation: Labelled,
    test: Labelled,
    metric: str,
    temperatures: Mapping[str, float] = _NO_TEMPERATURES,
) -> dict[str, dict[str, float]]:
    """Metrics of scores on test decisions, and `metric` on validation decisions under "validation", by name.

    The pick is the best-scored candidate with a known reward. Accuracy leaves ties out. Logits are the scores times one
    factor. Calibration is the expected calibration error, and by chance that of true probabilities. Slope is the factor
    on the logits with the lowest test log loss; 1 is calibrated.

    Args:
      scores: scores by policy; the rows are the validation decisions, then the test decisions.
      metric: one of the returned metrics.
      temperatures: the factor of each policy that serves probabilities; that of other policies is fitted on validation.

    Returns:
      For each policy "reward", "accuracy", "top2", "log_loss", "calibration", "calibration_by_chance", "slope" and
      "validation"; NaN if not measurable.
    """
    cut = len(validation.decisions.user)
    found = {}
    for name, both in scores.items():
        factor = temperatures[name] if name in temperatures else _temperature(both[:cut], validation)
        validated = _metrics(both[:cut], validation, factor)[metric]
        found[name] = _metrics(both[cut:], test, factor) | {"validation": validated}
    return found


def users_worse(
    scores: Mapping[str, Float[np.ndarray, "decisions llms"]], test: Labelled, temperature: float
) -> dict[str, float]:
    """Shares of test users who do worse with their history than without, by name; empty where histories change nothing.

    A user is worse if the mean log loss over the user's test decisions is higher, for "worse_accuracy" if the accuracy
    is lower. "worse_significantly" and "worse_by_chance" are of the log loss, see `metrics.users_worse`.

    Args:
      scores: has those of the router with histories and without (`USER_BLIND`).
      temperature: factor on the scores.
    """
    known, shares = ~np.isnan(test.rewards), choice_shares(test.decisions)
    rows = np.flatnonzero(known.any(1) & shares.any(1))
    if not len(rows) or np.allclose(scores[ROUTER][rows], scores[USER_BLIND][rows], atol=_ROUNDING):
        return {}
    known, shares, user = known[rows], shares[rows], test.decisions.user[rows]
    single = np.count_nonzero(shares, axis=1) == 1
    losses, right = [], []
    for name in (USER_BLIND, ROUTER):
        losses.append(metrics.log_loss(temperature * scores[name][rows], known, shares))
        right.append(metrics.matches(metrics.choose(scores[name][rows], known), shares)[single])
    worse = metrics.users_worse(losses[0] - losses[1], user)
    by_accuracy = metrics.users_worse(right[1] - right[0], user[single]).share
    return {"worse": worse.share, "worse_by_chance": worse.by_chance, "worse_significantly": worse.significant,
            "worse_accuracy": by_accuracy}  # fmt: skip


def _temperature(scores: np.ndarray, labelled: Labelled) -> float:
    known, shares = ~np.isnan(labelled.rewards), choice_shares(labelled.decisions)
    rows = known.any(1) & shares.any(1)
    return metrics.fit_temperature(scores[rows], known[rows], shares[rows]) if rows.any() else math.nan


def _metrics(scores: np.ndarray, labelled: Labelled, factor: float) -> dict[str, float]:
    known = ~np.isnan(labelled.rewards)
    rows = np.flatnonzero(known.any(1))
    labelled, known, scores = select(labelled, rows), known[rows], scores[rows]
    shares, picked = choice_shares(labelled.decisions), metrics.choose(scores, known)
    return {
        "reward": metrics.mean(metrics.values_of_selected(labelled.rewards, picked)),
        "accuracy": metrics.accuracy_without_ties(picked, shares),
        "top2": metrics.mean(metrics.top_k(scores, known, shares, 2)),
        **_of_probabilities(factor * scores, known, shares),
    }


def _of_probabilities(logits: np.ndarray, known: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    if np.isnan(logits).any() or not shares.any():
        return dict.fromkeys(_PROBABILITIES, math.nan)
    loss = metrics.mean(metrics.log_loss(logits, known, shares))
    error, by_chance = (
        found(logits, known, shares) for found in (metrics.calibration_error, metrics.calibration_error_by_chance)
    )
    # no factor makes an impossible choice possible
    slope = metrics.fit_temperature(logits, known, shares) if math.isfinite(loss) else math.nan
    return dict(zip(_PROBABILITIES, (loss, error, by_chance, slope), strict=True))
