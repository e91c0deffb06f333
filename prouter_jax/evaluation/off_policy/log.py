"""Logged decisions as arrays, and their context features: task, candidates, query length, the user's usual LLMs."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.distinct import distinct_sets

_MAX_COLUMNS = 20  # tasks, candidate sets and LLMs with a feature of their own: the most frequent ones
_MIN_DECISIONS = 20  # decisions of a task or candidate set with a feature of its own
_SHARE_STRENGTH = 5.0  # decisions that the shares of all users count for beside the user's own


@dataclasses.dataclass(frozen=True)
class Log:
    """Logged decisions with bandit feedback: only the reward of the served LLM is observed.

    Attributes:
      offered: the candidates; two or more in each decision.
      served: LLM that answered.
      reward: of its answer.
      propensity: probability with which the logging policy selected it; NaN where not logged.
      user: number of the user; decisions of one user are dependent.
      task: number of the task, -1 for none.
      query: number of the query.
      length: characters of the query.
    """

    offered: Bool[np.ndarray, "decisions llms"]
    served: Int[np.ndarray, " decisions"]
    reward: Float[np.ndarray, " decisions"]
    propensity: Float[np.ndarray, " decisions"]
    user: Int[np.ndarray, " decisions"]
    task: Int[np.ndarray, " decisions"]
    query: Int[np.ndarray, " decisions"]
    length: Float[np.ndarray, " decisions"]

    def take(self, rows: np.ndarray) -> "Log":
        """The decisions of a mask or of row numbers."""
        return Log(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def at_served(self, values: Float[np.ndarray, "decisions llms"]) -> Float[np.ndarray, " decisions"]:
        """The value of the served LLM in each decision."""
        return values[np.arange(len(self.served)), self.served]


def deterministic_policy(selected: Int[np.ndarray, " decisions"], num_llms: int) -> Float[np.ndarray, "decisions llms"]:
    """Probabilities of a policy that selects the given LLM in each decision with probability 1."""
    return np.eye(num_llms)[selected]


def build_contexts(log: Log) -> Float[np.ndarray, "decisions features"]:
    """Features that the logging policy may depend on: a constant, then standardised columns.

    Columns are one-hot tasks, one-hot candidate sets, log(1 + query length), and the share of each LLM among the user's
    other decisions. The decision itself is left out of its shares, because its selection is what the features predict.
    """
    _, offer = distinct_sets(log.offered)
    columns = [_one_hot(log.task), _one_hot(offer), np.log1p(log.length)[:, None], _usual_llms(log)]
    features = np.concatenate(columns, axis=1)
    features = features - features.mean(0)
    deviation = features.std(0)
    kept = features[:, deviation > 1e-9] / deviation[deviation > 1e-9]
    return np.concatenate([np.ones((len(kept), 1)), kept], axis=1)


def _one_hot(group: np.ndarray) -> np.ndarray:
    """A column for each of the most frequent groups; rows of -1 and of rare groups are all zeros."""
    names, count = np.unique(group[group >= 0], return_counts=True)
    names = names[np.argsort(-count, kind="stable")][: (count >= _MIN_DECISIONS).sum()][:_MAX_COLUMNS]
    return (group[:, None] == names[None, :]).astype(np.float64)


def _usual_llms(log: Log) -> np.ndarray:
    """Shares of the most served LLMs in the user's other decisions, smoothed towards the shares of all users."""
    served = np.eye(log.offered.shape[1])[log.served]
    most = np.argsort(-served.sum(0), kind="stable")[:_MAX_COLUMNS]
    served = served[:, most]
    _, user = np.unique(log.user, return_inverse=True)
    total = np.zeros((user.max(initial=0) + 1, len(most)))
    np.add.at(total, user, served)
    others = total[user] - served
    count = np.bincount(user)[user][:, None] - 1
    return (others + _SHARE_STRENGTH * served.mean(0)) / (count + _SHARE_STRENGTH)
