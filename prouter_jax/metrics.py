"""Each metric once, for the model and for every baseline: plain numpy over decisions.

NaN stands for what is not known; means leave it out and are NaN where nothing is known.
"""

import dataclasses
import math
import typing

import numpy as np
import numpy.typing as npt

_CONFIDENCE = 0.95
_FACTORS = (1e-3, 1e5)  # from logits to rewards that differ in the third decimal


class Interval(typing.NamedTuple):
    """A mean with its 95 % interval over `n` independent units; the limits are NaN where n < 2."""

    mean: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class Fit:
    """How well probabilities foresee choices: mean log loss, half of its 95 % interval, expected calibration error.

    The interval is the wider one of those for other users and for other queries; `decisions` are those counted.
    """

    log_loss: float
    log_loss_margin: float
    calibration_error: float
    decisions: int


class Worse(typing.NamedTuple):
    """Shares of users for whom a change is for the worse, NaN without users.

    Attributes:
      share: users whose mean change is below 0.
      significant: users for whom it is below 0 at the one-sided 5 % level, Student's t over the user's decisions.
      by_chance: expected `share` if nobody was truly worse, as each user has few decisions: users who seem worse are
        taken as unchanged, the others as they seem.
    """

    share: float
    significant: float
    by_chance: float


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
    _check_scores(scores, offered)
    picked = np.where(offered, scores, -np.inf).argmax(1)
    # where all candidates score -inf, argmax may fall on an LLM that is not on offer
    return np.where(values_of_selected(offered, picked), picked, offered.argmax(1))


def values_of_selected(values: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """The entry of each decision's picked LLM: [decisions, llms], [decisions] -> [decisions]."""
    return np.take_along_axis(values, picked[:, None], axis=1)[:, 0]


def matches(picked: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """1.0 where the pick is among the choices (one of a tie counts in full), 0.0 elsewhere, NaN without a choice.

    Args:
      shares: float [decisions, llms], see `data.rewards.choice_shares`.
    """
    return np.where(shares.any(1), values_of_selected(shares, picked) > 0, np.nan)


def top_k(scores: np.ndarray, offered: np.ndarray, shares: np.ndarray, k: int) -> np.ndarray:
    """1.0 where a choice is among the k best candidates, 0.0 elsewhere, NaN without a choice; k = 1 is `matches`.

    Args:
      scores, offered, shares: [decisions, llms], see `choose` and `matches`.
    """
    _check_scores(scores, offered)
    ranked = np.where(offered, np.maximum(scores, np.finfo(np.float64).min), -np.inf)
    best = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    found = (np.take_along_axis(shares, best, axis=1) > 0).any(1)
    return np.where(shares.any(1), found, np.nan)


def accuracy_without_ties(picked: np.ndarray, shares: np.ndarray) -> float:
    """The share of picks that are the choice, among decisions with one choice only; NaN where there are none."""
    single = np.count_nonzero(shares, axis=1) == 1
    return mean(matches(picked[single], shares[single]))


def log_loss(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """-sum(shares * log softmax(logits)) over the candidates, natural log: float64 [decisions], NaN without a choice.

    Args:
      logits: float [decisions, llms]; -inf is a candidate that is never chosen.
      offered: bool [decisions, llms], the candidates.
      shares: float [decisions, llms], each row the choice, its ties sharing 1, or zeros.

    Raises:
      ValueError: as `choose`, or if a decision has no finite logit or its choice is not on offer.
    """
    from scipy import special  # 0.2 s of CPU time, which those who only score are spared

    chances = special.log_softmax(_candidate_logits(logits, offered, shares), axis=1)
    return np.where(shares.any(1), -_over_choices(chances, shares), np.nan)


def fit_temperature(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray) -> float:
    """The factor on the logits, from 1e-3 to 1e5, of the least mean log loss: fit it on validation decisions.

    With z = logits - their maximum: mean of log sum exp(factor z) - factor sum(shares z), convex in the factor.

    Raises:
      ValueError: as `log_loss`, or if no decision has a choice or a choice has the logit -inf.
    """
    chosen = shares.any(1)
    if not chosen.any():
        raise ValueError("shares: expected a decision with a choice, found none")
    z = _candidate_logits(logits[chosen], offered[chosen], shares[chosen])
    z -= z.max(1, keepdims=True)
    gain = _over_choices(z, shares[chosen]).mean()
    if np.isinf(gain):
        raise ValueError("logits: expected a finite one for each choice, found -inf")

    def loss(log_factor: float) -> float:
        factor = math.exp(log_factor)
        return float(np.log(np.exp(factor * z).sum(1)).mean() - factor * gain)

    from scipy import optimize  # takes 20 MB, which those who only train and score are spared

    bounds = tuple(math.log(factor) for factor in _FACTORS)
    return math.exp(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x)


def shrunken_temperature(
    logits: np.ndarray, offered: np.ndarray, shares: np.ndarray, *groups: np.ndarray, spread: float = 0.3
) -> float:
    """As `fit_temperature`, with a Gaussian prior of log(factor), whose mean is 0: a fit on few users is noise.

    Minimises (sum of the log losses) / design effect + log(factor)^2 / (2 spread^2). The design effect is how much
    more the sum varies than if decisions of a group were independent (Kish 1965): the largest of the groupings'.

    Args:
      groups: numbers of the decisions' groups, such as users and queries, int [decisions] each.
      spread: standard deviation of the prior.

    Raises:
      ValueError: as `fit_temperature`.
    """
    from scipy import optimize

    chosen = shares.any(1)
    fitted = fit_temperature(logits, offered, shares)
    z = _candidate_logits(logits[chosen], offered[chosen], shares[chosen])
    slopes = log_loss(1.01 * z, offered[chosen], shares[chosen]) - log_loss(0.99 * z, offered[chosen], shares[chosen])
    effect = max([1.0, *(_design_effect(slopes, group[chosen]) for group in groups)])

    def objective(log_factor: float) -> float:
        total = log_loss(math.exp(log_factor) * z, offered[chosen], shares[chosen]).sum() / effect
        return total + log_factor**2 / (2 * spread**2)

    ends = sorted((0.0, math.log(fitted)))
    found: typing.Any = optimize.minimize_scalar(objective, bounds=(ends[0] - 1e-6, ends[1] + 1e-6), method="bounded")
    return math.exp(found.x)


def _design_effect(values: np.ndarray, group: np.ndarray) -> float:
    """How much more the sum of centred values varies than if they were independent within groups."""
    values = values - values.mean()
    squares = np.square(values).sum()
    return float(np.square(np.bincount(group, values)).sum() / squares) if squares > 0 else 1.0


def calibration_error(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the top candidate: mean over decisions of |probability - how often chosen|.

    Both are means within bins of (nearly) equal counts of decisions, sorted by the probability; equal probabilities
    share a bin. A tie counts with its share. NaN without a choice.
    """
    chosen = shares.any(1)
    if not chosen.any():
        return math.nan
    chance, right, place = _binned(logits[chosen], offered[chosen], shares[chosen], bins)
    gaps = np.bincount(place, chance - right)  # a bin's count times its gap
    return float(np.abs(gaps).sum() / len(chance))


def calibration_error_by_chance(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray, bins: int = 15) -> float:
    """The `calibration_error` to expect if the probabilities were true and the decisions independent.

    In a bin of n decisions with probabilities p the summed gap is nearly normal with variance sum p (1 - p), and the
    mean of its absolute value is sqrt(2 / pi) standard deviations. NaN without a choice.
    """
    chosen = shares.any(1)
    if not chosen.any():
        return math.nan
    chance, _, place = _binned(logits[chosen], offered[chosen], shares[chosen], bins)
    gaps = np.sqrt(2 / math.pi * np.bincount(place, chance * (1 - chance)))
    return float(gaps.sum() / len(chance))


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


def share_recovered(score: float, blind: float, full: float) -> float:
    """(score - blind) / (full - blind): 0 is the user-blind score, 1 the fully trained one, NaN where they agree."""
    return gap_closed(score, blind, full)


def share_over_seeds(score: np.ndarray, blind: np.ndarray, full: np.ndarray) -> Interval:
    """`share_recovered` of the means over seeds [seeds] each, with an interval.

    A ratio of means, not a mean of ratios: a seed whose gap is near zero would drown the others. The error is that of
    the residuals (score - blind) - share * (full - blind) over the mean gap (delta method), Student's t.
    """
    known = ~np.isnan(score + blind + full)
    gain, gap = (score - blind)[known], (full - blind)[known]
    n = len(gain)
    if not n or gap.mean() == 0:
        return Interval(math.nan, math.nan, math.nan, n)
    share = float(gain.mean() / gap.mean())
    error = (gain - share * gap).std(ddof=1) / abs(gap.mean()) / math.sqrt(n) if n > 1 else math.nan
    return _interval(share, float(error), n)


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
    return mean_over_clusters(first - second, query)


def mean_over_clusters(values: np.ndarray, cluster: np.ndarray) -> Interval:
    """The mean of the known values [n] with its interval, where those of one cluster [n] hang together."""
    known = ~np.isnan(values)
    values = values[known].astype(np.float64)
    _, cluster = np.unique(cluster[known], return_inverse=True)
    sums = np.bincount(cluster, values - mean(values))
    n = len(sums)
    variance = n / (n - 1) * np.square(sums).sum() / len(values) ** 2 if n > 1 else math.nan
    return _interval(mean(values), math.sqrt(variance), n)


def users_worse(change: np.ndarray, user: np.ndarray) -> Worse:
    """For how many users a change is for the worse.

    Args:
      change: float [decisions], above 0 where a decision is better than before; NaN where unknown.
      user: int [decisions].
    """
    known = ~np.isnan(change)
    values, (_, row) = change[known].astype(np.float64), np.unique(user[known], return_inverse=True)
    if not len(values):
        return Worse(math.nan, math.nan, math.nan)
    count = np.bincount(row)
    means, degrees = np.bincount(row, values) / count, np.maximum(count - 1, 1)
    error = np.sqrt(np.bincount(row, np.square(values - means[row])) / degrees / count)
    error[count == 1] = np.nan
    from scipy import special

    significant = means < -special.stdtrit(degrees, _CONFIDENCE) * error
    chance = special.ndtr(-np.maximum(means, 0) / np.maximum(error, 1e-12))
    return Worse(float((means < 0).mean()), float(significant.mean()), mean(chance))


def measure_fit(
    logits: np.ndarray, offered: np.ndarray, shares: np.ndarray, user: np.ndarray, query: np.ndarray
) -> Fit:
    """How well the softmax of logits foresees what was chosen, over the decisions between several candidates.

    Args:
      logits, offered, shares: [decisions, llms], as of `log_loss`.
      user, query: int [decisions].
    """
    rows = np.flatnonzero((offered.sum(1) > 1) & shares.any(1))
    if not len(rows):
        return Fit(math.nan, math.nan, math.nan, 0)
    found = logits[rows], offered[rows], shares[rows]
    loss = log_loss(*found)
    by = [mean_over_clusters(loss, group[rows]) for group in (user, query)]
    margins = [interval.high - interval.mean for interval in by if interval.n > 1]
    return Fit(mean(loss), max(margins, default=math.nan), calibration_error(*found), len(rows))


def _binned(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray, bins: int) -> tuple[np.ndarray, ...]:
    """Probability of the top candidate, its share of the choice, and the bin, [decisions] each."""
    from scipy import special

    chances = special.softmax(_candidate_logits(logits, offered, shares), axis=1)
    picked = chances.argmax(1)
    chance, right = values_of_selected(chances, picked), values_of_selected(shares, picked)
    starts = np.linspace(0, len(chance), min(bins, len(chance)), endpoint=False).astype(int)
    return chance, right, np.searchsorted(np.sort(chance)[starts], chance, side="right")


def _candidate_logits(logits: np.ndarray, offered: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The logits of candidates, -inf elsewhere: float64 [decisions, llms], checked."""
    _check_scores(logits, offered)
    _require(~(offered & (logits == np.inf)).any(1), "logits", "below infinity", "inf")
    _require((offered & (logits > -np.inf)).any(1), "logits", "a finite one", "none")
    _require(~((shares > 0) & ~offered).any(1), "shares", "a choice among the candidates", "another")
    return np.where(offered, logits, -np.inf).astype(np.float64)


def _over_choices(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """sum(shares * values) of each decision, where 0 * -inf is 0: float64 [decisions]."""
    return np.multiply(shares, values, out=np.zeros(values.shape), where=shares > 0).sum(1)


def _check_scores(scores: np.ndarray, offered: np.ndarray) -> None:
    if scores.shape != offered.shape:
        raise ValueError(f"scores: expected shape {offered.shape}, found {scores.shape}")
    _require(offered.any(1), "offered", "at least one candidate", "none")
    _require(~(np.isnan(scores) & offered).any(1), "scores", "a number for each candidate", "NaN")


def _interval(center: float, error: float, n: int) -> Interval:
    from scipy import special

    reach = float(special.stdtrit(max(n - 1, 1), (1 + _CONFIDENCE) / 2)) * error
    return Interval(center, center - reach, center + reach, n)


def _require(good: npt.ArrayLike, name: str, expected: str, found: str) -> None:
    bad = np.flatnonzero(~np.asarray(good))
    if len(bad):
        raise ValueError(f"{name}: expected {expected}, found {found} in decision {bad[0]}")
