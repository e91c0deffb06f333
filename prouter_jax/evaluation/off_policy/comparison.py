"""Off-policy comparison: evaluated policies, the logging policy and the best single LLM on the same log."""

import dataclasses

import numpy as np
from jaxtyping import Float

from prouter_jax.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Terms,
    effective_size,
    estimate,
    fold_users,
    importance_weights,
    logging_terms,
    predict_rewards,
)
from prouter_jax.evaluation.off_policy.log import Log, build_contexts, deterministic_policy
from prouter_jax.evaluation.off_policy.propensity import (
    Propensities,
    check_contexts,
    check_fitted_propensities,
    check_logged_propensities,
    fit_propensities,
)
from prouter_jax.metrics import Interval, choose

LOGGING, BEST_SINGLE = "logging policy", "best single LLM"
_MIN_DECISIONS = 100


@dataclasses.dataclass(frozen=True)
class PolicyEstimate:
    """An estimate of the value of a policy, or of the difference of two values.

    Attributes:
      policy: name of the policy, or "first - second" for a difference.
      estimator: "ips", "snips" or "dr"; "mean" for the logging policy.
      interval: the estimate with its 95 % interval for other users.
      effective: effective sample size in decisions; NaN for a difference.
      mean_weight: mean importance weight; well below 1 if the log rarely has the policy's selections; NaN for a
        difference.
    """

    policy: str
    estimator: str
    interval: Interval
    effective: float
    mean_weight: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of `compare`.

    Attributes:
      lines: every policy with every estimator, then differences of the first policy to the others.
      decisions: number of decisions in the estimates.
      users: number of users of these decisions.
      certain: number of decisions left out because the logging policy was deterministic there.
      fitted: whether propensities were fitted, because the log has none.
      cut: number of truncated importance weights of the first policy.
    """

    lines: list[PolicyEstimate]
    decisions: int
    users: int
    certain: int
    fitted: bool
    cut: int


def compare(log: Log, targets: dict[str, Float[np.ndarray, "decisions llms"]]) -> Comparison:
    """Estimates the values of policies, and compares the first one with the logging policy and the best single LLM.

    Args:
      targets: probabilities of the LLMs by name of the policy.

    Raises:
      ValueError: if only a part of the log has propensities, if it has too few decisions or users, or if the logging
        policy is deterministic.
    """
    users = len(np.unique(log.user))
    if len(log.served) < _MIN_DECISIONS or users < 2:
        expected = f"at least {_MIN_DECISIONS} decisions with a reward, of two users or more"
        raise ValueError(f"log: expected {expected}, found {len(log.served)} of {users}")
    log, targets, certain = _without_deterministic(log, targets)
    contexts = build_contexts(log)
    fitted, propensity = _propensities(log, contexts)
    terms, lines, cut = {}, [], []
    for name, target in (targets | {BEST_SINGLE: best_single(log, propensity)}).items():
        weights = importance_weights(log, target, propensity)
        terms[name] = estimate(log, target, weights, predict_rewards(log, contexts, target), fitted)
        size, mean = effective_size(weights.weight), float(weights.weight.mean())
        lines += [PolicyEstimate(name, by, terms[name][by].interval(log.user), size, mean) for by in ESTIMATORS]
        cut.append(int((~weights.untruncated).sum()))
    lines.append(PolicyEstimate(LOGGING, "mean", logging_terms(log).interval(log.user), float(len(log.served)), 1.0))
    lines += _differences(log, terms)
    return Comparison(lines, len(log.served), len(np.unique(log.user)), certain, fitted is not None, cut[0])


def best_single(log: Log, propensity: Float[np.ndarray, " decisions"]) -> Float[np.ndarray, "decisions llms"]:
    """The policy that always selects the candidate with the highest snips estimate.

    The LLM of each fold of users is chosen on the other folds, so that its estimate is not biased by its selection.
    """
    fold, selected = fold_users(log.user), np.zeros(len(log.served), int)
    for number in np.unique(fold):
        rest, own = fold != number, fold == number
        weight, served = 1 / propensity[rest], log.served[rest]
        total = np.bincount(served, weight, log.offered.shape[1])
        weighted = np.bincount(served, weight * log.reward[rest], log.offered.shape[1])
        mean = np.where(total > 0, weighted / np.maximum(total, 1e-12), -np.inf)
        selected[own] = choose(np.broadcast_to(mean, log.offered[own].shape), log.offered[own])
    return deterministic_policy(selected, log.offered.shape[1])


def _without_deterministic(log: Log, targets: dict[str, np.ndarray]) -> tuple[Log, dict[str, np.ndarray], int]:
    """Log and policies without the decisions of propensity 1, and the number of these."""
    logged = ~np.isnan(log.propensity)
    if not logged.any():
        check_contexts(log)
        return log, targets, 0
    if not logged.all():
        found = f"{(~logged).sum()} of {len(logged)} without"
        raise ValueError(f"log, column propensity: expected one in every row or in none, found {found}")
    kept = check_logged_propensities(log.propensity)
    return log.take(kept), {name: target[kept] for name, target in targets.items()}, int((~kept).sum())


def _propensities(log: Log, contexts: np.ndarray) -> tuple[Propensities | None, np.ndarray]:
    """The fitted model (None if propensities were logged) and the propensities of the served LLMs."""
    if not np.isnan(log.propensity).any():
        return None, log.propensity
    fitted = fit_propensities(log, contexts)
    propensity = log.at_served(fitted.probabilities)
    check_fitted_propensities(propensity)
    return fitted, propensity


def _differences(log: Log, terms: dict[str, dict[str, Terms]]) -> list[PolicyEstimate]:
    """The first policy minus the logging policy, and minus each other policy, by the doubly robust estimator."""
    first, *others = terms
    minus = {LOGGING: logging_terms(log)} | {name: terms[name]["dr"] for name in others}
    return [
        PolicyEstimate(f"{first} - {name}", "dr", (terms[first]["dr"] - other).interval(log.user), np.nan, np.nan)
        for name, other in minus.items()
    ]
