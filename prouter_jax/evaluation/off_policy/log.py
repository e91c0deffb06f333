"""What the logging policy may have looked at: task, candidates, length of the query, usual LLMs of the user."""

import dataclasses

import numpy as np

from prouter_jax.data.distinct import distinct_sets


@dataclasses.dataclass(frozen=True)
class Log:
    """Decisions of which only the served LLM's reward is known.

    Attributes:
      offered: bool [decisions, llms], the candidates; two or more in each decision.
      served: int [decisions], the LLM that answered.
      reward: float [decisions], what its answer was worth.
      propensity: float [decisions], the probability with which it was picked; NaN where unknown.
      user, task, query: int [decisions], row numbers of any kind; task -1 for none. Decisions of one user are alike.
      length: float [decisions], characters of the query.
    """

    offered: np.ndarray
    served: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    user: np.ndarray
    task: np.ndarray
    query: np.ndarray
    length: np.ndarray

    def take(self, rows: np.ndarray) -> "Log":
        """The given decisions (row numbers, or bool [decisions])."""
        return Log(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def of_served(self, values: np.ndarray) -> np.ndarray:
        """The entries of the served LLMs: [decisions, llms] -> [decisions]."""
        return values[np.arange(len(self.served)), self.served]


def always(picked: np.ndarray, num_llms: int) -> np.ndarray:
    """The policy that is certain of its picks [decisions]: probabilities [decisions, llms]."""
    return np.eye(num_llms)[picked]


_MOST_OF_A_KIND = 20  # tasks, candidate sets and LLMs that have a column of their own: the most frequent ones
_FEWEST = 20  # decisions of a task or set that has one
_CAUTION = 5.0  # decisions at everybody's shares that each user's are mixed with


def build_contexts(log: Log) -> np.ndarray:
    """float [decisions, features]: a constant, then standardised columns.

    The share of an LLM among a user's decisions leaves out the decision at hand, whose pick is to be foreseen.
    """
    _, offer = distinct_sets(log.offered)
    columns = [_one_hot(log.task), _one_hot(offer), np.log1p(log.length)[:, None], _usual(log)]
    features = np.concatenate(columns, axis=1)
    features = features - features.mean(0)
    spread = features.std(0)
    kept = features[:, spread > 1e-9] / spread[spread > 1e-9]
    return np.concatenate([np.ones((len(kept), 1)), kept], axis=1)


def _one_hot(group: np.ndarray) -> np.ndarray:
    """A column for each of the most frequent groups but one; rows of -1 are in none."""
    names, count = np.unique(group[group >= 0], return_counts=True)
    names = names[np.argsort(-count, kind="stable")][: (count >= _FEWEST).sum()][:_MOST_OF_A_KIND]
    return (group[:, None] == names[None, :]).astype(np.float64)


def _usual(log: Log) -> np.ndarray:
    """Shares of the most served LLMs in the user's other decisions, drawn towards everybody's."""
    served = np.eye(log.offered.shape[1])[log.served]
    most = np.argsort(-served.sum(0), kind="stable")[:_MOST_OF_A_KIND]
    served = served[:, most]
    _, user = np.unique(log.user, return_inverse=True)
    total = np.zeros((user.max(initial=0) + 1, len(most)))
    np.add.at(total, user, served)
    others = total[user] - served
    count = np.bincount(user)[user][:, None] - 1
    return (others + _CAUTION * served.mean(0)) / (count + _CAUTION)
