"""Drift of users, queries and calibration: how new feedback differs from the training data.

`choice_drift` measures how often each LLM is chosen; `drift_report` sets limits and writes the report.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from prouter_jax.metrics import Fit, calibration_error, measure_fit
from prouter_jax.serving.choice_drift import LoggedChoices

_FAR = 0.95  # quantile of the nearest-neighbour distances among training queries beyond which a query is far
_MOST_QUERIES = 5000  # rows that are measured; an even subsample of more
_QUERIES_AT_ONCE = 256
_REDRAWN = 100  # simulations of the choices, for the calibration error of perfect probabilities


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
      now: the new choices.
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


def _subsample(rows: np.ndarray) -> np.ndarray:
    """At most `_MOST_QUERIES` rows, evenly spaced."""
    if len(rows) <= _MOST_QUERIES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_QUERIES).astype(int)]


def _nearest(vectors: np.ndarray, among: np.ndarray, leave_one_out: bool) -> np.ndarray:
    """Distance of each vector to its nearest neighbour, [vectors]; `leave_one_out` skips the vector itself."""
    found, squared = [], np.square(among).sum(1)
    for start in range(0, len(vectors), _QUERIES_AT_ONCE):
        some = vectors[start : start + _QUERIES_AT_ONCE]
        distance = np.square(some).sum(1)[:, None] - 2 * some @ among.T + squared
        found.append(np.partition(distance, 1, axis=1)[:, 1] if leave_one_out else distance.min(1))
    return np.sqrt(np.maximum(np.concatenate(found), 0))
