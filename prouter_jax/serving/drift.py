"""How far new feedback has moved away from what a router was trained on: users, queries, calibration.

Choices are in `drift_choices`.
"""

import dataclasses
import math

import numpy as np
from scipy import special

from prouter_jax.data.interactions import distinct_sets
from prouter_jax.metrics import Fit, calibration_error, mean, measure_fit

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


_ROUNDS = 200  # of Luce's model; what is left after them is far below chance


@dataclasses.dataclass(frozen=True)
class Shift:
    """The share of choices that fell on an LLM, and what training lets expect with these candidates.

    `low`, `high`: the 95 % interval of the difference, for other users and queries; NaN where there are too few.
    """

    llm: str
    expected: float
    found: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Choices:
    """All shifts, half the sum of their sizes, the probability of the most surprising one by chance (Bonferroni), and
    the share of choices on LLMs that training did not know."""

    shifts: list[Shift]
    moved: float
    chance: float
    new_llm_share: float


def measure_choices(before: Said, now: Said, llms: list[str]) -> Choices:
    """Compares choices with what the same LLMs' strengths in training let expect of today's candidates.

    Strengths are those of Luce's choice model, p(llm) = strength / sum over candidates: the plain shares where all are
    always on offer. What one user decides, and what is decided on one query, hangs together; see `_error`.

    Args:
      before: of training, over the first LLMs of `now`.
      llms: names of these.
    """
    chosen = now.take(np.flatnonzero(now.shares.any(1)))
    known = len(llms)
    new_share = mean(chosen.shares[:, known:].sum(1)) if len(chosen.user) else 0.0
    before, now = (_between(Said(s.user, s.query, s.offered[:, :known], s.shares[:, :known])) for s in (before, chosen))
    if not len(before.user) or not len(now.user):
        return Choices([], 0.0, 1.0, new_share)
    strength = fit_strengths(before)
    surprise = now.shares - expected_shares(strength, now.offered)
    moved = surprise.mean(0)
    error, number = _error(before, now, before.shares - expected_shares(strength, before.offered), surprise)
    reach = special.stdtrit(number - 1, 0.975) * error if number > 1 else np.full(known, np.nan)
    expected, found = (x.mean(0) for x in (now.shares - surprise, now.shares))
    columns = (x.tolist() for x in (expected, found, moved - reach, moved + reach))
    shifts = [Shift(*row) for row in zip(llms, *columns, strict=True)]
    return Choices(shifts, float(np.abs(moved).sum() / 2), _chance(moved, error, number), new_share)


def fit_strengths(said: Said) -> np.ndarray:
    """Luce's strengths, [llms], summing to 1: iterated strength = wins / sum over decisions of 1 / sum of strengths."""
    sets, place = distinct_sets(said.offered)
    number, wins = np.bincount(place, minlength=len(sets)), said.shares.sum(0, dtype=np.float64)
    strength = np.full(len(wins), 1 / len(wins))
    for _ in range(_ROUNDS):
        asked = (number / np.maximum(sets @ strength, 1e-300)) @ sets
        strength = wins / np.maximum(asked, 1e-300)
        strength /= strength.sum()
    return strength


def expected_shares(strength: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """[decisions, llms]; even where no candidate was ever chosen."""
    weight = np.where(offered, strength, 0)
    weight = np.where(weight.any(1, keepdims=True), weight, offered)
    return weight / weight.sum(1, keepdims=True)


def _between(said: Said) -> Said:
    """The decisions with a choice among several candidates."""
    return said.take(np.flatnonzero((said.offered.sum(1) > 1) & said.shares.any(1)))


def _error(before: Said, now: Said, surprise_before: np.ndarray, surprise: np.ndarray) -> tuple[np.ndarray, int]:
    """The standard error of the mean surprise [llms], and how many users or queries it rests on.

    What belongs to a user or a query hangs together, in training and now: who always liked an LLM, and was heard then,
    moves nothing. Two ways of clustering: variance by users + by queries - by decisions, at least each of the first.
    """
    parts = np.concatenate([(surprise - surprise.mean(0)) / len(surprise), -surprise_before / len(before.user)])
    alone = np.square(parts).sum(0)
    variances, sizes = [], []
    for name in ("user", "query"):
        _, cluster = np.unique(np.append(getattr(now, name), getattr(before, name)), return_inverse=True)
        sums = np.zeros((cluster.max() + 1, parts.shape[1]))
        np.add.at(sums, cluster, parts)
        sizes.append(len(np.unique(cluster[: len(surprise)])))
        variances.append(np.square(sums).sum(0) * sizes[-1] / max(sizes[-1] - 1, 1))
    return np.sqrt(np.maximum(np.maximum(*variances), sum(variances) - alone)), min(sizes)


def _chance(moved: np.ndarray, error: np.ndarray, number: int) -> float:
    """Of a shift as surprising as the most surprising one, by Student's t."""
    sure = error > 0
    if number < 2 or not sure.any():
        return 1.0
    tail = 2 * special.stdtr(number - 1, -np.abs(moved[sure] / error[sure]))
    return float(min(1.0, tail.min() * sure.sum()))
