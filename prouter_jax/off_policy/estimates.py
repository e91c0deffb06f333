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

from prouter_jax.metrics import Interval
from prouter_jax.off_policy.intervals import interval_over_users
from prouter_jax.off_policy.log import Log
from prouter_jax.off_policy.propensity import Propensities

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
