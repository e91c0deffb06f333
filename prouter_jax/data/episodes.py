"""Episodes: batches of users with a history to read and decisions to predict, as a test would ask for them.

A user's history has a drawn number of decisions, from none to `HISTORY`. Where test queries are new, an episode hides
some queries: histories are on the others, and the decisions to predict on the hidden ones. Where they are known, the
decisions to predict are others of the user. The users of an episode are of one fold, whom an EM of its own never saw.
All is a pure function of (seed, number, fold).
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import HistoryStore

FOLDS = 3  # user u is of fold u % FOLDS
HISTORY = 100  # decisions of a history, at most
_LENGTHS = (0, 1, 2, 3, 5, 10, 20, 30, 60, HISTORY)
_USERS, _PREDICTED = 32, 24  # users of an episode, and decisions of a user to predict, at most
_MOST_KNOWN = 512  # queries that the kernel compares with
_HIDDEN_SHARE, _MOST_HIDDEN = 0.22, 100  # of the queries


@dataclasses.dataclass(frozen=True)
class Episodes:
    """All episodes of a run.

    Attributes:
      store: histories of the known users.
      world_query: int [queries], row in the training world of each query of the store, -1 for hidden queries.
      num_queries: queries of the training world.
      new_queries: whether the decisions to predict are on queries without any decision in the episode.
      seed: of the draws.
    """

    store: HistoryStore
    world_query: np.ndarray
    num_queries: int
    new_queries: bool
    seed: int

    def rows(self, number: int, fold: int) -> dict[str, Any]:
        """Returns an episode.

        Args:
          number: of the episode.
          fold: of its users.

        Returns:
          user: rows of its users, [users].
          fold: as given.
          history, predicted: their decisions, see `data.batches.Batches.rows`.
          known: rows of queries to compare with, [known].
          hidden: rows of the queries of the decisions to predict, [hidden].
          place: index into `hidden` of each decision to predict, [users, predicted].
        """
        random = np.random.default_rng([self.seed, 2, number, fold])
        known, hidden = self._split(random)
        users = random.choice(self._users[fold], _USERS, replace=len(self._users[fold]) < _USERS)
        histories, predicted = zip(*(self._of_user(user, hidden, random) for user in users), strict=True)
        asked = self._batches.of_decisions(*_padded(predicted, _PREDICTED))
        place = np.zeros(self.num_queries, np.int32)
        place[hidden] = np.arange(len(hidden))
        return {
            "user": users,
            "fold": np.int32(fold),
            "history": self._batches.of_decisions(*_padded(histories, self._batches.history)),
            "predicted": asked,
            "known": known,
            "hidden": hidden,
            "place": place[asked["query"]],
        }

    def _split(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The known and the hidden queries; no hidden ones where test queries are known."""
        order = random.permutation(self.num_queries).astype(np.int32)
        hidden = min(int(_HIDDEN_SHARE * self.num_queries) + 1, _MOST_HIDDEN) if self.new_queries else 0
        return order[hidden : hidden + _MOST_KNOWN], order[:hidden]

    def _of_user(self, user: int, hidden: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The decisions of a user's history, and those to predict."""
        rows = random.permutation(np.arange(self.store.users[user], self.store.users[user + 1]))
        query = self.world_query[self.store.query[rows]]
        length = random.choice(_LENGTHS)
        if not self.new_queries:
            rows = rows[query >= 0]
            length = min(length, len(rows) // 2)
            return rows[:length], rows[length : length + _PREDICTED]
        is_hidden = np.isin(query, hidden)
        return rows[~is_hidden & (query >= 0)][:length], rows[is_hidden][:_PREDICTED]

    @functools.cached_property
    def _users(self) -> list[np.ndarray]:
        """The users with a decision of each fold."""
        decided = np.flatnonzero(np.diff(self.store.users) > 0)
        return [decided[decided % FOLDS == fold] for fold in range(FOLDS)]

    @functools.cached_property
    def _batches(self) -> Batches:
        longest = int(np.diff(self.store.users).max(initial=1))
        return Batches(self.store, self.world_query, _USERS, min(longest, HISTORY), self.seed)


def _padded(rows: tuple[np.ndarray, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of decisions padded to one size, and False for padding."""
    valid = np.arange(size) < np.array([len(some) for some in rows])[:, None]
    padded = np.zeros(valid.shape, np.int64)
    padded[valid] = np.concatenate(rows)
    return padded, valid
