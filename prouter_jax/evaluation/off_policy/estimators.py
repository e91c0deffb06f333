"""The value of a policy from a log of another one: three estimators, with intervals and effective sample sizes.

With w = target probability of the served LLM / its propensity, r its reward and q a foreseen reward, over n decisions:

    ips     mean(w r)                                        Horvitz & Thompson 1952
    snips   sum(w r) / sum(w)                                self-normalised, Swaminathan & Joachims 2015
    dr      mean(sum over a of target_a q_a + w (r - q))     doubly robust, Dudik, Langford & Li 2011

Weights above sqrt(n) are cut to it (Ionides 2008): what is lost is told by the mean weight, which is 1 where every pick
of the target policy could have been made in the log.
"""

import dataclasses
import math
import typing

import numpy as np
from scipy import special

from prouter_jax.evaluation.off_policy.log import Log
from prouter_jax.evaluation.off_policy.propensity import Propensities
from prouter_jax.metrics import Interval

_CONFIDENCE = 0.95


def interval_over_users(mean: float, influence: np.ndarray, user: np.ndarray) -> Interval:
    """The interval for other users: decisions of one user are alike, so each user's influences count as one sum.

    With n decisions of G users, s_g the sum of a user's influences beside their mean, of skewness c and kurtosis h:

        error^2 = G / (G - 1) * sum(s_g^2) / n^2,    k = c / sqrt(G)
        q of Student's t with 2 (G - 1) / (h - 1), at most G - 1, degrees of freedom
        limits = mean - error * 3 / k * (cbrt(1 + k (+-q - k / 6)) - 1)

    A few large sums make the error itself uncertain (degrees of freedom: Satterthwaite 1946; of normal sums h is 3),
    and skewed sums move it with the mean (Hall 1992, On the removal of skewness by transformation). Without both the
    limits are mean -+ q error.

    Args:
      influence: float [decisions], what each does to the mean; user: int [decisions].
    """
    _, place = np.unique(user, return_inverse=True)
    sums = np.bincount(place, influence - influence.mean())
    users = len(sums)
    if users < 2:
        return Interval(mean, math.nan, math.nan, users)
    spread = float(sums.std())
    error = users * spread / math.sqrt(users - 1) / len(influence)
    scaled = sums / spread if spread else sums
    skewness = float(np.power(scaled, 3).mean()) / math.sqrt(users)
    kurtosis = float(np.power(scaled, 4).mean())
    freedom = min(2 * (users - 1) / max(kurtosis - 1, 1e-9), users - 1)
    reach = float(special.stdtrit(freedom, (1 + _CONFIDENCE) / 2))
    low, high = (mean - error * _straightened(quantile, skewness) for quantile in (reach, -reach))
    return Interval(mean, low, high, users)


def _straightened(quantile: float, skewness: float) -> float:
    """The quantile of the skewed studentised mean that becomes `quantile` once it is straightened."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3 / skewness * (float(np.cbrt(1 + skewness * (quantile - skewness / 6))) - 1)


ESTIMATORS = ("ips", "snips", "dr")


class Weighed(typing.NamedTuple):
    """Importance weights [decisions], cut, and whether each was not."""

    weight: np.ndarray
    whole: np.ndarray


@dataclasses.dataclass(frozen=True)
class Terms:
    """An estimate as a mean of terms, one a decision.

    Attributes:
      value: float [decisions]; an estimate is their mean.
      influence: float [decisions], what each decision does to the estimate beside that mean; where propensities were
        fitted, by way of the fit as well.
    """

    value: np.ndarray
    influence: np.ndarray

    def __sub__(self, other: "Terms") -> "Terms":
        """Those of a difference on the same decisions."""
        return Terms(self.value - other.value, self.influence - other.influence)

    def interval(self, user: np.ndarray) -> Interval:
        """The estimate and its 95 % interval for other users; `user` [decisions]."""
        return interval_over_users(float(self.value.mean()), self.influence, user)


def weigh(log: Log, target: np.ndarray, propensity: np.ndarray) -> Weighed:
    """target / propensity of the served LLM, at most sqrt(n).

    Args:
      target: float [decisions, llms], probabilities of the policy that is judged.
      propensity: float [decisions], in (0, 1].
    """
    weight = log.of_served(target) / propensity
    most = math.sqrt(len(weight))
    return Weighed(np.minimum(weight, most), weight <= most)


def effective_size(weight: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 (Kish 1965): so many decisions of the target policy itself would tell as much."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def estimate(
    log: Log, target: np.ndarray, weighed: Weighed, foreseen: np.ndarray, fitted: Propensities | None = None
) -> dict[str, Terms]:
    """All of `ESTIMATORS`, by name.

    Args:
      target: [decisions, llms]; weighed: of it, see `weigh`.
      foreseen: rewards of all LLMs, [decisions, llms], see `reward_model.foresee_rewards`.
      fitted: where the propensities come from, None where the log told them; what is not known of them goes into the
        intervals.
    """
    weight, reward = weighed.weight, log.reward
    mean_weight = max(float(weight.mean()), 1e-12)
    ratio = float((weight * reward).mean()) / mean_weight
    beside = reward - log.of_served(foreseen)
    found = {
        "ips": (weight * reward, weight * reward),
        "snips": (ratio + weight * (reward - ratio) / mean_weight, weight * (reward - ratio) / mean_weight),
        "dr": ((target * foreseen).sum(1) + weight * beside, weight * beside),
    }
    return {name: _terms(value, slope * weighed.whole, fitted) for name, (value, slope) in found.items()}


def of_logging(log: Log) -> Terms:
    """The policy that made the log: the rewards themselves."""
    return Terms(log.reward, log.reward)


def _terms(value: np.ndarray, slope: np.ndarray, fitted: Propensities | None) -> Terms:
    return Terms(value, value if fitted is None else value + fitted.correction(slope))


_FOLDS = 5
_RIDGE = 10.0  # decisions' worth of belief that an LLM's rewards are the mean of all


def foresee_rewards(log: Log, contexts: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
    """Rewards of all LLMs, float [decisions, llms].

    A ridge regression for each LLM on the decisions that it served, beside the mean reward of all. Users are dealt to
    five folds by chance, and those of a fold are foreseen from the others: so that no estimate knows the rewards that
    it is corrected with (cross-fitting, Chernozhukov et al. 2018).

    Args:
      contexts: [decisions, features].
      hints: [decisions, llms], such as the probabilities of the router that is judged; they may say much of rewards.
    """
    found = np.empty_like(log.offered, float)
    fold = fold_users(log.user)
    for number in range(_FOLDS):
        rest, own = fold != number, fold == number
        mean = log.reward[rest].mean()
        for llm in range(found.shape[1]):
            features = contexts if hints is None else np.column_stack([contexts, hints[:, llm]])
            rows = rest & (log.served == llm)
            some = features[rows]
            inner = some.T @ some + _RIDGE * np.eye(some.shape[1])
            found[own, llm] = mean + features[own] @ np.linalg.solve(inner, some.T @ (log.reward[rows] - mean))
    return found


def fold_users(user: np.ndarray) -> np.ndarray:
    """The fold of each decision, 0 to 4: all of a user are in one, int [decisions]."""
    names, place = np.unique(user, return_inverse=True)
    dealt = np.random.default_rng(0).permutation(len(names)) % _FOLDS
    return dealt[place]
