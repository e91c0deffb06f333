"""How far new feedback has moved away from what a router was trained on: users, queries, calibration.

Choices are in `drift_choices`.
"""

import dataclasses
import math

import numpy as np
from scipy import special

from prouter_jax.metrics import Fit, calibration_error, measure_fit

_FAR = 0.95  # quantile of the training queries' own distances beyond which a query is far
_MOST_QUERIES = 5000  # whose distances are measured, drawn evenly where there are more
_QUERIES_AT_ONCE = 256
_REDRAWN = 100  # times that choices are drawn from the predictions, to see how far off chance alone can be


@dataclasses.dataclass(frozen=True)
class Said:
    """Decisions with what was chosen: int user, query [decisions]; bool offered, float shares [decisions, llms]."""

    user: np.ndarray
    query: np.ndarray
    offered: np.ndarray
    shares: np.ndarray

    def take(self, rows: np.ndarray) -> "Said":
        return Said(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class People:
    """Users who said something, those of them whom training never heard, and the share of decisions that are theirs."""

    users: int
    new: int
    new_share: float


@dataclasses.dataclass(frozen=True)
class Topics:
    """Distinct queries, those that training did not hold, and those far from all that it held.

    Far is beyond the `limit` that 5 % of the training queries have between them and their nearest; `chance` is the
    probability of so many far ones where topics are as before.
    """

    queries: int
    new: int
    far: int
    far_share: float
    limit: float
    chance: float


@dataclasses.dataclass(frozen=True)
class Foreseen:
    """How well new choices were foreseen before they were known; `by_chance` is the calibration error that perfect
    probabilities exceed once in a hundred times."""

    fit: Fit
    by_chance: float


def measure_people(user: np.ndarray, trained: np.ndarray) -> People:
    """Counts who decided.

    Args:
      user: int [decisions].
      trained: bool [users], who said something in training.
    """
    who = np.unique(user)
    return People(len(who), int((~trained[who]).sum()), float((~trained[user]).mean()))


def measure_topics(vectors: np.ndarray, known: np.ndarray, trained: np.ndarray) -> Topics:
    """Compares what was asked with what training held.

    Args:
      vectors: of the distinct queries, float32 [queries, width].
      known: bool [queries], those that training held.
      trained: vectors of training's queries, [training queries, width].
    """
    trained = np.unique(trained, axis=0)
    limit = float(np.quantile(_nearest(_some(trained), trained, True), _FAR)) if len(trained) > 1 else math.inf
    asked = _some(np.flatnonzero(~known))
    share = float((_nearest(vectors[asked], trained, False) > limit).mean()) if len(asked) else 0.0
    new, queries = int((~known).sum()), len(known)
    far = round(share * new)
    # P(at least `far` of `queries`), each far with 1 - _FAR: the binomial's upper tail
    chance = float(special.bdtrc(far - 1, queries, 1 - _FAR)) if far else 1.0
    return Topics(queries, new, far, far / max(queries, 1), limit, chance)


def measure_foreseen(logits: np.ndarray, now: Said) -> Foreseen:
    """How well the softmax of logits [decisions, llms] foresees what was chosen."""
    fit = measure_fit(logits, now.offered, now.shares, now.user, now.query)
    if not fit.decisions:
        return Foreseen(fit, math.nan)
    some = _some(np.flatnonzero((now.offered.sum(1) > 1) & now.shares.any(1)))
    logits, offered, rng = logits[some], now.offered[some], np.random.default_rng(0)
    drawn = []
    for _ in range(_REDRAWN):
        noisy = np.where(offered, logits + rng.gumbel(size=logits.shape), -np.inf)
        drawn.append(calibration_error(logits, offered, (noisy == noisy.max(1, keepdims=True)).astype(np.float32)))
    return Foreseen(fit, float(np.quantile(drawn, 0.99)))


def _some(rows: np.ndarray) -> np.ndarray:
    """At most `_MOST_QUERIES` rows."""
    if len(rows) <= _MOST_QUERIES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_QUERIES).astype(int)]


def _nearest(vectors: np.ndarray, among: np.ndarray, leave_one_out: bool) -> np.ndarray:
    """Distance of each vector to the nearest one, float64 [vectors]; to the nearest other one of those it is among."""
    found, squared = [], np.square(among).sum(1)
    for start in range(0, len(vectors), _QUERIES_AT_ONCE):
        some = vectors[start : start + _QUERIES_AT_ONCE]
        distance = np.square(some).sum(1)[:, None] - 2 * some @ among.T + squared
        found.append(np.partition(distance, 1, axis=1)[:, 1] if leave_one_out else distance.min(1))
    return np.sqrt(np.maximum(np.concatenate(found), 0))
