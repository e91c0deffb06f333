"""Each metric once, for the model and for every baseline: plain numpy over decisions.

NaN stands for what is not known; means leave it out and are NaN where nothing is known.
"""

import math
import typing

import numpy as np
import numpy.typing as npt
from scipy import stats

_CONFIDENCE = 0.95


class Interval(typing.NamedTuple):
    """A mean with its 95 % interval over `n` independent units; the limits are NaN where n < 2."""

    mean: float
    low: float
    high: float
    n: int


def choose(scores: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """The candidate of the highest score in each decision, the first of several.

    Args:
      scores: float [decisions, llms]; what is not on offer may be anything.
      offered: bool [decisions, llms], the candidates.

    Returns:
      int [decisions], LLM rows.

    Raises:
      ValueError: if a candidate's score is NaN, a decision has no candidate, or the shapes differ.
    """
    if scores.shape != offered.shape:
        raise ValueError(f"scores: expected shape {offered.shape}, found {scores.shape}")
    _require(offered.any(1), "offered", "at least one candidate", "none")
    _require(~(np.isnan(scores) & offered).any(1), "scores", "a number for each candidate", "NaN")
    picked = np.where(offered, scores, -np.inf).argmax(1)
    # where all candidates score -inf, argmax may fall on an LLM that is not on offer
    return np.where(of_picks(offered, picked), picked, offered.argmax(1))


def of_picks(values: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """The entry of each decision's picked LLM: [decisions, llms], [decisions] -> [decisions]."""
    return np.take_along_axis(values, picked[:, None], axis=1)[:, 0]


def matches(picked: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """1.0 where the pick is among the choices (one of a tie counts in full), 0.0 elsewhere, NaN without a choice.

    Args:
      shares: float [decisions, llms], see `decisions.choice_shares`.
    """
    return np.where(shares.any(1), of_picks(shares, picked) > 0, np.nan)


def mean(values: np.ndarray) -> float:
    """The mean of the known values: mean reward, accuracy (of `matches`), effect, cost in USD."""
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else math.nan


def group_means(values: np.ndarray, group: np.ndarray, num_groups: int) -> np.ndarray:
    """`mean` within each group: values [n], group rows [n] -> float64 [num_groups]."""
    known = ~np.isnan(values)
    total = np.bincount(group[known], values[known], num_groups)
    count = np.bincount(group[known], minlength=num_groups)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def gap_closed(reward: float, best_single: float, oracle: float) -> float:
    """(reward - best_single) / (oracle - best_single): 1 is perfect, NaN where there is no gap."""
    gap = oracle - best_single
    return (reward - best_single) / gap if gap != 0 else math.nan


def difference_over_seeds(first: np.ndarray, second: np.ndarray) -> Interval:
    """Mean of first - second, one mean reward per seed [seeds], with Student's t interval."""
    differences = (first - second)[~np.isnan(first - second)]
    n = len(differences)
    error = differences.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return _interval(mean(differences), float(error), n)


def difference_over_queries(first: np.ndarray, second: np.ndarray, query: np.ndarray) -> Interval:
    """Mean of first - second over decisions [decisions], with an interval for other test queries.

    Decisions on one query share its answers and are one cluster. With n decisions in G clusters:
    error^2 = G / (G - 1) * sum over clusters (sum of (difference - mean))^2 / n^2, Student's t with G - 1.
    Where all queries have as many decisions, it is the usual interval of the means per query.
    """
    known = ~np.isnan(first - second)
    differences = (first - second)[known].astype(np.float64)
    _, cluster = np.unique(query[known], return_inverse=True)
    sums = np.bincount(cluster, differences - mean(differences))
    n = len(sums)
    variance = n / (n - 1) * np.square(sums).sum() / len(differences) ** 2 if n > 1 else math.nan
    return _interval(mean(differences), math.sqrt(variance), n)


def _interval(center: float, error: float, n: int) -> Interval:
    reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, max(n - 1, 1))) * error
    return Interval(center, center - reach, center + reach, n)


def _require(good: npt.ArrayLike, name: str, expected: str, found: str) -> None:
    bad = np.flatnonzero(~np.asarray(good))
    if len(bad):
        raise ValueError(f"{name}: expected {expected}, found {found} in decision {bad[0]}")
