"""What the logging policy may have looked at: task, candidates, length of the query, usual LLMs of the user."""

import numpy as np

from prouter_jax.grouping import distinct_sets
from prouter_jax.off_policy.log import Log

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
