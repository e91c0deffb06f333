"""Drift of users, queries, choices and calibration: how new feedback differs from the training data.

The reference of choices is Luce's choice model, p(llm) = strength[llm] / sum of the candidates' strengths (R. D. Luce,
Individual Choice Behavior, 1959), fitted to the training choices. `drift_report` sets limits and writes the report.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.metrics import Fit, calibration_error, mean, measure_fit

_ITERATIONS = 200  # of `fit_strengths`; the remaining error is far below the standard errors

_FAR = 0.95  # quantile of the nearest-neighbour distances among training queries beyond which a query is far
_MOST_QUERIES = 5000  # rows that are measured; an even subsample of more
_REDRAWN = 100  # simulations of the choices, for the calibration error of perfect probabilities


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


@dataclasses.dataclass(frozen=True)
class UserDrift:
    """Users in the new feedback.

    Attributes:
      users: number of distinct users.
      new: number of users without decisions in the training data.
      new_share: share of the new decisions that are made by new users.
    """

    users: int
    new: int
    new_share: float


@dataclasses.dataclass(frozen=True)
class QueryDrift:
    """Queries in the new feedback.

    Attributes:
      queries: number of distinct queries.
      new: number of queries that are not in the training data.
      far: number of new queries farther than `limit` from every training query.
      far_share: far / queries.
      limit: distance that 5 % of the training queries exceed to their nearest neighbour.
      p_value: probability of at least `far` far queries if the distribution of queries is that of training.
    """

    queries: int
    new: int
    far: int
    far_share: float
    limit: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class CalibrationDrift:
    """Fit of the probabilities predicted for the new choices before the router received them.

    Attributes:
      fit: log loss and calibration error of the predictions.
      calibration_error_limit: calibration error that perfect probabilities exceed with probability 0.01.
    """

    fit: Fit
    calibration_error_limit: float


def measure_users(user: Int[np.ndarray, " decisions"], in_training: Bool[np.ndarray, " users"]) -> UserDrift:
    """Counts new users.

    Args:
      user: user row of each new decision.
      in_training: whether a user has decisions in the training data.
    """
    users = np.unique(user)
    return UserDrift(len(users), int((~in_training[users]).sum()), float((~in_training[user]).mean()))


def measure_queries(
    vectors: Float[np.ndarray, "queries width"],
    in_training: Bool[np.ndarray, " queries"],
    training_vectors: Float[np.ndarray, "training_queries width"],
) -> QueryDrift:
    """Counts queries that are far from all training queries, by Euclidean distance.

    Args:
      vectors: text embeddings of the distinct queries in the new feedback.
      in_training: whether a query is in the training data.
      training_vectors: text embeddings of the training queries.
    """
    trained = np.unique(training_vectors, axis=0)
    limit = math.inf
    if len(trained) > 1:
        limit = float(np.quantile(_nearest(_subsample(trained), trained, leave_one_out=True), _FAR))
    rows = _subsample(np.flatnonzero(~in_training))
    share = float((_nearest(vectors[rows], trained, leave_one_out=False) > limit).mean()) if len(rows) else 0.0
    new, queries = int((~in_training).sum()), len(in_training)
    far = round(share * new)
    # upper tail of the binomial distribution: P(at least `far` of `queries`), each far with probability 1 - _FAR
    p_value = float(special.bdtrc(far - 1, queries, 1 - _FAR)) if far else 1.0
    return QueryDrift(queries, new, far, far / max(queries, 1), limit, p_value)


def measure_calibration(logits: Float[np.ndarray, "decisions llms"], now: LoggedChoices) -> CalibrationDrift:
    """Measures how well softmax(logits) predicts the new choices.

    Args:
      logits: calibrated logits, computed without the new feedback.
    """
    fit = measure_fit(logits, now.offered, now.shares, now.user, now.query)
    if not fit.decisions:
        return CalibrationDrift(fit, math.nan)
    rows = _subsample(np.flatnonzero((now.offered.sum(1) > 1) & now.shares.any(1)))
    logits, offered, rng = logits[rows], now.offered[rows], np.random.default_rng(0)
    errors = []
    for _ in range(_REDRAWN):
        noisy = np.where(offered, logits + rng.gumbel(size=logits.shape), -np.inf)  # its argmax is a softmax sample
        errors.append(calibration_error(logits, offered, (noisy == noisy.max(1, keepdims=True)).astype(np.float32)))
    return CalibrationDrift(fit, float(np.quantile(errors, 0.99)))


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


def _subsample(rows: np.ndarray) -> np.ndarray:
    """At most `_MOST_QUERIES` rows, evenly spaced."""
    if len(rows) <= _MOST_QUERIES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_QUERIES).astype(int)]


def _nearest(vectors: np.ndarray, among: np.ndarray, leave_one_out: bool) -> np.ndarray:
    """Distance of each vector to its nearest neighbour, [vectors]; `leave_one_out` skips the vector itself."""
    from sklearn.neighbors import NearestNeighbors  # loads slowly, and scoring does without

    distance, _ = NearestNeighbors(n_neighbors=2 if leave_one_out else 1).fit(among).kneighbors(vectors)
    return distance[:, -1]
