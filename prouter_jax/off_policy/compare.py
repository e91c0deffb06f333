"""A router, the policy that made the log and the best single LLM, judged on the same logged decisions."""

import dataclasses

import numpy as np

from prouter_jax.metrics import Interval, choose
from prouter_jax.off_policy import chance
from prouter_jax.off_policy.contexts import build_contexts
from prouter_jax.off_policy.estimates import ESTIMATORS, Terms, effective_size, estimate, of_logging, weigh
from prouter_jax.off_policy.log import Log, always
from prouter_jax.off_policy.propensity import Propensities, fit_propensities
from prouter_jax.off_policy.reward_model import fold_users, foresee_rewards

LOGGING, BEST_SINGLE = "logging policy", "best single LLM"
_FEWEST = 100  # decisions that a judgement is made of


@dataclasses.dataclass(frozen=True)
class Line:
    """An estimate of a policy, or of a difference of two.

    Attributes:
      effective: sample size; mean_weight: 1 but for chance, or else the log never tried what the policy picks. Both NaN
        of a difference.
    """

    policy: str
    estimator: str
    interval: Interval
    effective: float
    mean_weight: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
      lines: policies by all estimators, then differences of the first policy to the others.
      decisions, users: so many were judged on.
      certain: decisions left out because their pick was certain.
      fitted: whether propensities were fitted, for the log told none.
      cut: importance weights of the first policy that were cut.
    """

    lines: list[Line]
    decisions: int
    users: int
    certain: int
    fitted: bool
    cut: int


def compare(log: Log, targets: dict[str, np.ndarray]) -> Comparison:
    """Judges policies by `ESTIMATORS`, and the first of them against the log's own policy and the best single LLM.

    Args:
      targets: probabilities of the candidates by name of the policy, float [decisions, llms] each.

    Raises:
      ValueError: if the log tells propensities of some decisions only, has too few decisions or users, or its picks
        were not made by chance.
    """
    if len(log.served) < _FEWEST or len(np.unique(log.user)) < 2:
        found = f"{len(log.served)} of {len(np.unique(log.user))}"
        raise ValueError(
            f"log: expected at least {_FEWEST} decisions with a reward, of two users or more, found {found}"
        )
    log, targets, certain = _by_chance(log, targets)
    contexts = build_contexts(log)
    fitted, propensity = _propensities(log, contexts)
    terms, lines, cut = {}, [], []
    for name, target in (targets | {BEST_SINGLE: best_single(log, propensity)}).items():
        weighed = weigh(log, target, propensity)
        foreseen = foresee_rewards(log, contexts, target)
        terms[name] = estimate(log, target, weighed, foreseen, fitted)
        size, mean = effective_size(weighed.weight), float(weighed.weight.mean())
        lines += [Line(name, by, terms[name][by].interval(log.user), size, mean) for by in ESTIMATORS]
        cut.append(int((~weighed.whole).sum()))
    lines.append(Line(LOGGING, "mean", of_logging(log).interval(log.user), float(len(log.served)), 1.0))
    lines += _differences(log, terms)
    return Comparison(lines, len(log.served), len(np.unique(log.user)), certain, fitted is not None, cut[0])


def best_single(log: Log, propensity: np.ndarray) -> np.ndarray:
    """The policy that picks the LLM of the highest snips among the candidates, [decisions, llms].

    It is chosen for each fold of users on the others', so that it is not praised for luck on its own rewards.
    """
    fold, picked = fold_users(log.user), np.zeros(len(log.served), int)
    for number in np.unique(fold):
        rest, own = fold != number, fold == number
        weight = 1 / propensity[rest]
        total, worth = (
            np.bincount(log.served[rest], some, log.offered.shape[1]) for some in (weight, weight * log.reward[rest])
        )
        mean = np.where(total > 0, worth / np.maximum(total, 1e-12), -np.inf)
        picked[own] = choose(np.broadcast_to(mean, log.offered[own].shape), log.offered[own])
    return always(picked, log.offered.shape[1])


def _by_chance(log: Log, targets: dict[str, np.ndarray]) -> tuple[Log, dict[str, np.ndarray], int]:
    """Without the decisions whose pick was certain, and how many these are."""
    told = ~np.isnan(log.propensity)
    if not told.any():
        chance.check_contexts(log)
        return log, targets, 0
    if not told.all():
        found = f"{(~told).sum()} of {len(told)} without"
        raise ValueError(f"log, column propensity: expected one in every row or in none, found {found}")
    kept = chance.check_told(log.propensity)
    return log.take(kept), {name: target[kept] for name, target in targets.items()}, int((~kept).sum())


def _propensities(log: Log, contexts: np.ndarray) -> tuple[Propensities | None, np.ndarray]:
    if not np.isnan(log.propensity).any():
        return None, log.propensity
    fitted = fit_propensities(log, contexts)
    propensity = log.of_served(fitted.chances)
    chance.check_fitted(propensity)
    return fitted, propensity


def _differences(log: Log, terms: dict[str, dict[str, Terms]]) -> list[Line]:
    """The first policy minus the log's own, and minus the others, by the doubly robust estimator."""
    first, *others = terms
    minus = {LOGGING: of_logging(log)} | {name: terms[name]["dr"] for name in others}
    return [
        Line(f"{first} - {name}", "dr", (terms[first]["dr"] - other).interval(log.user), np.nan, np.nan)
        for name, other in minus.items()
    ]
