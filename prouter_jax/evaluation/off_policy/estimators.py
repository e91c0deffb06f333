"""The value of a policy from a log of another one: three estimators, with intervals and effective sample sizes.

With w = target probability of the served LLM / its propensity, r its reward and q a predicted reward, over n decisions:

    ips     mean(w r)                                        Horvitz & Thompson 1952
    snips   sum(w r) / sum(w)                                self-normalised, Swaminathan & Joachims 2015
    dr      mean(sum over a of target_a q_a + w (r - q))     doubly robust, Dudik, Langford & Li 2011

Weights above sqrt(n) are truncated to it (Ionides 2008). The mean weight shows the loss: its expectation is 1 where the
logging policy could have made every selection of the target policy. q is a cross-fitted ridge regression for each LLM.
"""

import dataclasses
import math
import typing

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from prouter_jax.evaluation.off_policy.log import Log
from prouter_jax.evaluation.off_policy.propensity import Propensities
from prouter_jax.metrics import Interval

_FOLDS = 5
_RIDGE = 10.0  # shrinks an LLM's coefficients to 0, that is its rewards to the mean of all

ESTIMATORS = ("ips", "snips", "dr")
_CONFIDENCE = 0.95


def predict_rewards(
    log: Log,
    contexts: Float[np.ndarray, "decisions features"],
    hints: Float[np.ndarray, "decisions llms"] | None = None,
) -> Float[np.ndarray, "decisions llms"]:
    """Predicted rewards of all LLMs.

    A ridge regression for each LLM on the decisions that it served, on rewards minus their overall mean. Users are
    divided into five random folds, and each fold is predicted from the others, so that no estimate is corrected with
    a model of its own rewards (cross-fitting, Chernozhukov et al. 2018).

    Args:
      contexts: see `log.build_contexts`.
      hints: one more feature for each LLM, such as the probability of the evaluated policy.
    """
    predicted = np.empty_like(log.offered, float)
    fold = fold_users(log.user)
    for number in range(_FOLDS):
        rest, own = fold != number, fold == number
        mean = log.reward[rest].mean()
        for llm in range(predicted.shape[1]):
            features = contexts if hints is None else np.column_stack([contexts, hints[:, llm]])
            rows = rest & (log.served == llm)
            x = features[rows]
            gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
            predicted[own, llm] = mean + features[own] @ np.linalg.solve(gram, x.T @ (log.reward[rows] - mean))
    return predicted


def fold_users(user: Int[np.ndarray, " decisions"]) -> Int[np.ndarray, " decisions"]:
    """Random fold of each decision, 0 to 4; all decisions of a user are in one fold."""
    users, row = np.unique(user, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(users)) % _FOLDS)[row]


class ImportanceWeights(typing.NamedTuple):
    """Importance weights of the decisions.

    Attributes:
      weight: at most sqrt(n).
      untruncated: False where the weight was truncated.
    """

    weight: Float[np.ndarray, " decisions"]
    untruncated: Bool[np.ndarray, " decisions"]


def importance_weights(
    log: Log, target: Float[np.ndarray, "decisions llms"], propensity: Float[np.ndarray, " decisions"]
) -> ImportanceWeights:
    """target / propensity of the served LLM, at most sqrt(n).

    Args:
      propensity: of the served LLM, in (0, 1].
    """
    weight = log.at_served(target) / propensity
    limit = math.sqrt(len(weight))
    return ImportanceWeights(np.minimum(weight, limit), weight <= limit)


def effective_size(weight: Float[np.ndarray, " decisions"]) -> float:
    """Effective sample size (sum w)^2 / sum w^2 (Kish 1965): decisions of the target policy of the same precision."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


@dataclasses.dataclass(frozen=True)
class Terms:
    """An estimate as a mean of terms, one for each decision.

    Attributes:
      value: the terms; the estimate is their mean.
      influence: influence function of the estimate, up to a constant; includes the effect through fitted propensities.
    """

    value: Float[np.ndarray, " decisions"]
    influence: Float[np.ndarray, " decisions"]

    def __sub__(self, other: "Terms") -> "Terms":
        """Terms of the difference of two estimates on the same decisions."""
        return Terms(self.value - other.value, self.influence - other.influence)

    def interval(self, user: Int[np.ndarray, " decisions"]) -> Interval:
        """The estimate and its 95 % interval for other users."""
        return interval_over_users(float(self.value.mean()), self.influence, user)


def estimate(
    log: Log,
    target: Float[np.ndarray, "decisions llms"],
    weights: ImportanceWeights,
    predicted: Float[np.ndarray, "decisions llms"],
    fitted: Propensities | None = None,
) -> dict[str, Terms]:
    """All estimates of the value of a policy, by name, see `ESTIMATORS`.

    Args:
      predicted: rewards of all LLMs, see `predict_rewards`.
      fitted: model of the propensities, None if they were logged; its error widens the intervals.
    """
    weight, reward = weights.weight, log.reward
    mean_weight = max(float(weight.mean()), 1e-12)
    ratio = float((weight * reward).mean()) / mean_weight
    residual = reward - log.at_served(predicted)
    found = {
        "ips": (weight * reward, weight * reward),
        "snips": (ratio + weight * (reward - ratio) / mean_weight, weight * (reward - ratio) / mean_weight),
        "dr": ((target * predicted).sum(1) + weight * residual, weight * residual),
    }
    return {name: _terms(value, slope * weights.untruncated, fitted) for name, (value, slope) in found.items()}


def logging_terms(log: Log) -> Terms:
    """Terms of the logging policy's value: the logged rewards."""
    return Terms(log.reward, log.reward)


def interval_over_users(
    mean: float, influence: Float[np.ndarray, " decisions"], user: Int[np.ndarray, " decisions"]
) -> Interval:
    """Cluster-robust 95 % interval for other users: each user's influences count as one sum, because they depend.

    With n decisions of G users, s_g the sum of a user's influences minus their mean, of skewness c and kurtosis h:

        error^2 = G / (G - 1) * sum(s_g^2) / n^2,    k = c / sqrt(G)
        q of Student's t with 2 (G - 1) / (h - 1), at most G - 1, degrees of freedom
        limits = mean - error * 3 / k * (cbrt(1 + k (+-q - k / 6)) - 1)

    A few large sums make the error itself uncertain (degrees of freedom: Satterthwaite 1946; of normal sums h is 3),
    and skewed sums move it with the mean (Hall 1992, On the removal of skewness by transformation). Without both the
    limits are mean -+ q error.

    Args:
      influence: influence of each decision on the mean.
      user: number of the user of each decision.

    Returns:
      The interval; its limits are NaN for a single user.
    """
    _, row = np.unique(user, return_inverse=True)
    sums = np.bincount(row, influence - influence.mean())
    users = len(sums)
    if users < 2:
        return Interval(mean, math.nan, math.nan, users)
    deviation = float(sums.std())
    error = users * deviation / math.sqrt(users - 1) / len(influence)
    scaled = sums / deviation if deviation else sums
    skewness = float(np.power(scaled, 3).mean()) / math.sqrt(users)
    kurtosis = float(np.power(scaled, 4).mean())
    freedom = min(2 * (users - 1) / max(kurtosis - 1, 1e-9), users - 1)
    reach = float(special.stdtrit(freedom, (1 + _CONFIDENCE) / 2))
    low, high = (mean - error * _inverse_hall(quantile, skewness) for quantile in (reach, -reach))
    return Interval(mean, low, high, users)


def _inverse_hall(quantile: float, skewness: float) -> float:
    """Inverse of Hall's skewness-removing transformation at a quantile; `skewness` is k of `interval_over_users`."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3 / skewness * (float(np.cbrt(1 + skewness * (quantile - skewness / 6))) - 1)


def _terms(value: np.ndarray, slope: np.ndarray, fitted: Propensities | None) -> Terms:
    return Terms(value, value if fitted is None else value + fitted.correction(slope))
