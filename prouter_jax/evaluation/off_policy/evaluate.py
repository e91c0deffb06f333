"""A router, the policy that made the log and the best single LLM, judged on the same logged decisions."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.logs.logged import Logged
from prouter_jax.evaluation.off_policy import overlap as chance
from prouter_jax.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Terms,
    effective_size,
    estimate,
    fold_users,
    foresee_rewards,
    of_logging,
    weigh,
)
from prouter_jax.evaluation.off_policy.log import Log, always, build_contexts
from prouter_jax.evaluation.off_policy.propensity import Propensities, fit_propensities
from prouter_jax.evaluation.off_policy.selections import Asker, pick, unseen
from prouter_jax.io import markdown
from prouter_jax.metrics import Interval, choose

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


ROUTER = "router"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What came out.

    Attributes:
      decisions: of the log.
      left_out: how many were not judged on, by reason.
    """

    comparison: Comparison
    decisions: int
    left_out: dict[str, int]


def judge_router(
    asker: Asker, data: Interactions, logged: Logged, on_progress: Callable[[float], None] = lambda share: None
) -> Judgement:
    """What the router would have been worth on the decisions that it was not trained on and whose reward is known.

    Args:
      logged: of `data`.
      on_progress: called with the share of decisions that are scored.

    Raises:
      ValueError: as `compare`.
    """
    left_out, rows = {}, np.arange(len(data.decisions.ids))
    several = data.offers.sum(1)[data.decisions.offer] > 1
    for reason, keep in (
        ("a decision that the router was trained on", unseen(asker, data)),
        ("no thumb or rating", ~np.isnan(logged.reward)),
        ("one candidate alone", several),
    ):
        left_out[reason] = int((~keep[rows]).sum())
        rows = rows[keep[rows]]
    picked = pick(asker, data, rows, on_progress)
    left_out["no candidate that the router knows"] = int((picked < 0).sum())
    rows, picked = rows[picked >= 0], picked[picked >= 0]
    comparison = compare(build_log(data, logged, rows), {ROUTER: always(picked, len(data.llms.ids))})
    return Judgement(
        comparison, len(data.decisions.ids), {reason: number for reason, number in left_out.items() if number}
    )


def build_log(data: Interactions, logged: Logged, rows: np.ndarray) -> Log:
    """The decisions `rows` as arrays."""
    query = data.decisions.query[rows]
    return Log(
        offered=data.offers[data.decisions.offer[rows]],
        served=logged.served[rows],
        reward=logged.reward[rows],
        propensity=logged.propensity[rows],
        user=data.decisions.user[rows],
        task=data.queries.task[query],
        query=query,
        length=np.array([len(text) for text in data.queries.texts], float)[query],
    )


_COLUMNS = ("policy", "estimator", "estimate", "95 % interval", "effective sample size", "mean weight")
_READ_ME = (
    "A decision shows what one answer was worth. ips: inverse propensity; snips: self-normalised; dr: doubly "
    "robust, to look at first. The effective sample size says how many decisions of the policy's own would tell "
    "as much; a mean weight well below 1 says that the log hardly tried what the policy picks. Intervals are for "
    "other users, and take it that whether an answer was judged does not depend on how good it was."
)
_FITTED = (
    "No propensities are in the log: they were fitted on candidates, task, length of the query and usual LLMs of the "
    "user, and the error of the fit is in the intervals. Had the gateway looked at anything else that matters, no "
    "interval would tell."
)


def to_json(judgement: Judgement) -> dict:
    """All numbers; NaN is null."""
    found = judgement.comparison
    lines = [
        {
            "policy": line.policy,
            "estimator": line.estimator,
            "estimate": _number(line.interval.mean),
            "low": _number(line.interval.low),
            "high": _number(line.interval.high),
            "effective_sample_size": _number(line.effective),
            "mean_weight": _number(line.mean_weight),
        }
        for line in found.lines
    ]
    facts = {"logged": judgement.decisions, "decisions": found.decisions, "users": found.users}
    told = {"certain": found.certain, "weights_cut": found.cut, "propensities_fitted": found.fitted}
    return {"lines": lines, **facts, **told, "left_out": judgement.left_out}


def to_markdown(judgement: Judgement) -> str:
    """A table, how to read it, and what was left out."""
    found = judgement.comparison
    rows = [
        [
            *(line.policy, line.estimator, f"{line.interval.mean:.4f}"),
            f"{line.interval.low:.4f} to {line.interval.high:.4f}",
            "" if math.isnan(line.effective) else f"{line.effective:,.0f}",
            "" if math.isnan(line.mean_weight) else f"{line.mean_weight:.3f}",
        ]
        for line in found.lines
    ]
    facts = {"decisions in the log": judgement.decisions, "judged on": found.decisions, "of users": found.users}
    facts |= {f"left out: {reason}": number for reason, number in judgement.left_out.items()}
    facts |= {"left out: picked for certain": found.certain, "weights of the router cut to sqrt(n)": found.cut}
    parts = ["# What the router would have been worth", markdown.table(_COLUMNS, rows), _READ_ME]
    parts += [_FITTED] if found.fitted else []
    table = [[name, f"{number:,}"] for name, number in facts.items() if number]
    return "\n\n".join([*parts, markdown.table(["fact", "value"], table)]) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
