"""Drift of choices: how often each LLM is chosen, compared with the training data and corrected for the candidates.

The reference is Luce's choice model, p(llm) = strength[llm] / sum of the candidates' strengths (R. D. Luce, Individual
Choice Behavior, 1959), fitted to the training choices.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.metrics import mean

_ITERATIONS = 200  # of `fit_strengths`; the remaining error is far below the standard errors


@dataclasses.dataclass(frozen=True)
class LoggedChoices:
    """Decisions and their choices.

    Attributes:
      user, query: rows of users and queries.
      offered: the candidates.
      shares: 1 for the chosen LLM, split evenly among ties; a row of zeros has no choice.
    """

    user: Int[np.ndarray, " decisions"]
    query: Int[np.ndarray, " decisions"]
    offered: Bool[np.ndarray, "decisions llms"]
    shares: Float[np.ndarray, "decisions llms"]

    def take(self, rows: Int[np.ndarray, " rows"]) -> "LoggedChoices":
        """The decisions `rows`."""
        return LoggedChoices(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class ChoiceShift:
    """Change of one LLM's share of the choices.

    Attributes:
      expected: share expected from the training choices, for the candidates of the new decisions.
      found: share among the new choices.
      low, high: 95 % interval of found - expected; NaN if the new choices have fewer than two users or queries.
    """

    llm: str
    expected: float
    found: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class ChoiceDrift:
    """Change of the choices.

    Attributes:
      shifts: one for each LLM of the training data; empty without choices to compare.
      moved: half of the sum of |found - expected|: the share of choices that moved to another LLM.
      p_value: of the most significant shift, Bonferroni-corrected for the number of LLMs.
      new_llm_share: share of the new choices that are LLMs outside the training data.
    """

    shifts: list[ChoiceShift]
    moved: float
    p_value: float
    new_llm_share: float


def measure_choices(before: LoggedChoices, now: LoggedChoices, llms: list[str]) -> ChoiceDrift:
    """Compares new choices with those that Luce's model, fitted to the training choices, expects.

    Args:
      before: training choices, over the LLMs `llms`.
      now: new choices; the first columns are `llms`, further columns are new LLMs.
      llms: names of the LLMs in the training data.
    """
    chosen = now.take(np.flatnonzero(now.shares.any(1)))
    trained = len(llms)
    new_share = mean(chosen.shares[:, trained:].sum(1)) if len(chosen.user) else 0.0
    before, now = (_comparable(data, trained) for data in (before, chosen))
    if not len(before.user) or not len(now.user):
        return ChoiceDrift([], 0.0, 1.0, new_share)
    strength = fit_strengths(before)
    residuals_before, residuals = (data.shares - expected_shares(strength, data.offered) for data in (before, now))
    moved = residuals.mean(0)
    error, clusters = _standard_error(before, now, residuals_before, residuals)
    margin = special.stdtrit(clusters - 1, 0.975) * error if clusters > 1 else np.full(trained, np.nan)
    expected, found = (x.mean(0) for x in (now.shares - residuals, now.shares))
    columns = (x.tolist() for x in (expected, found, moved - margin, moved + margin))
    shifts = [ChoiceShift(*row) for row in zip(llms, *columns, strict=True)]
    return ChoiceDrift(shifts, float(np.abs(moved).sum() / 2), _p_value(moved, error, clusters), new_share)


def fit_strengths(choices: LoggedChoices) -> Float[np.ndarray, " llms"]:
    """Maximum-likelihood strengths of Luce's model, summing to 1.

    The minorise-maximise iteration strength = wins / sum over decisions of 1 / (sum of the candidates' strengths)
    (D. R. Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 32, 2004).
    """
    sets, set_of = distinct_sets(choices.offered)
    count, wins = np.bincount(set_of, minlength=len(sets)), choices.shares.sum(0, dtype=np.float64)
    strength = np.full(len(wins), 1 / len(wins))
    for _ in range(_ITERATIONS):
        denominator = (count / np.maximum(sets @ strength, 1e-300)) @ sets
        strength = wins / np.maximum(denominator, 1e-300)
        strength /= strength.sum()
    return strength


def expected_shares(
    strength: Float[np.ndarray, " llms"], offered: Bool[np.ndarray, "decisions llms"]
) -> Float[np.ndarray, "decisions llms"]:
    """Choice probabilities of Luce's model; uniform over candidates that all have strength 0."""
    weight = np.where(offered, strength, 0)
    weight = np.where(weight.any(1, keepdims=True), weight, offered)
    return weight / weight.sum(1, keepdims=True)


def _comparable(choices: LoggedChoices, llms: int) -> LoggedChoices:
    """The decisions with a choice among at least two of the first `llms` LLMs, over these LLMs."""
    choices = dataclasses.replace(choices, offered=choices.offered[:, :llms], shares=choices.shares[:, :llms])
    return choices.take(np.flatnonzero((choices.offered.sum(1) > 1) & choices.shares.any(1)))


def _standard_error(
    before: LoggedChoices, now: LoggedChoices, residuals_before: np.ndarray, residuals: np.ndarray
) -> tuple[np.ndarray, int]:
    """Standard error of the mean residuals [llms], and the smaller number of clusters: new users or new queries.

    Decisions of one user, or on one query, are correlated, in training and now: a user who always prefers an LLM, and
    has training decisions, shifts nothing. Hence two-way clustering (Cameron, Gelbach and Miller, 2011): the variance
    clustered by users, plus by queries, minus by decisions, but at least each of the first two.
    """
    parts = np.concatenate([(residuals - residuals.mean(0)) / len(residuals), -residuals_before / len(before.user)])
    unclustered = np.square(parts).sum(0)
    variances, sizes = [], []
    for name in ("user", "query"):
        _, cluster = np.unique(np.append(getattr(now, name), getattr(before, name)), return_inverse=True)
        sums = np.zeros((cluster.max() + 1, parts.shape[1]))
        np.add.at(sums, cluster, parts)
        sizes.append(len(np.unique(cluster[: len(residuals)])))
        variances.append(np.square(sums).sum(0) * sizes[-1] / max(sizes[-1] - 1, 1))
    return np.sqrt(np.maximum(np.maximum(*variances), sum(variances) - unclustered)), min(sizes)


def _p_value(moved: np.ndarray, error: np.ndarray, clusters: int) -> float:
    """Two-sided p-value of the most significant shift by Student's t, times the number of LLMs tested."""
    tested = error > 0
    if clusters < 2 or not tested.any():
        return 1.0
    tail = 2 * special.stdtr(clusters - 1, -np.abs(moved[tested] / error[tested]))
    return float(min(1.0, tail.min() * tested.sum()))
