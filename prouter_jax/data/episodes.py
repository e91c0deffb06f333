"""Episodes: batches of users with a history to read and decisions to predict, as a test would ask for them.

A user's history has a drawn number of decisions, from none to `HISTORY`. Where test queries are new, an episode hides
some queries: histories are on the others, and the decisions to predict on the hidden ones. Where they are known, the
decisions to predict are others of the user. The users of an episode are of one fold, whom some EM never saw. An episode
names a bounded number of queries, whatever their number in the world. All is a pure function of (seed, number, fold).
"""

import dataclasses
import functools
from typing import Any

import numpy as np
from jaxtyping import Int

from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import HistoryStore

FOLDS = 3
HISTORY = 100  # decisions of a history, at most
_LENGTHS = (0, 1, 2, 3, 5, 10, 20, 30, 60, HISTORY)
_USERS, _PREDICTED = 32, 24  # users of an episode, and decisions of a user to predict, at most
_MOST_KNOWN = 512  # queries that the kernel compares with
_HIDDEN_SHARE, _MOST_HIDDEN = 0.22, 100  # of the queries
_USERS_FOR_ONE_LEFT_OUT, _MOST_LEFT_OUT = 20, 2048


def users_left_out(num_users: int) -> Int[np.ndarray, " users"]:
    """Returns the users of episodes where users come in minibatches: evenly spaced ones, whom EM does not see.

    They are one in twenty, and so few of many users that EM does not miss them. So it needs no second EM.
    """
    number = min(num_users // _USERS_FOR_ONE_LEFT_OUT, _MOST_LEFT_OUT)
    return np.linspace(0, num_users - 1, number).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Episodes:
    """All episodes of a run.

    Attributes:
      store: histories of the known users.
      world_query: int [queries], row in the training world of each query of the store, -1 for hidden queries.
      num_queries: queries of the training world.
      new_queries: whether the decisions to predict are on queries without any decision in the episode.
      seed: of the draws.
      users: users that an episode may have; the i-th of them is of fold i % FOLDS.
    """

    store: HistoryStore
    world_query: np.ndarray
    num_queries: int
    new_queries: bool
    seed: int
    users: np.ndarray

    def rows(self, number: int, fold: int) -> dict[str, Any]:
        """Returns an episode.

        Args:
          number: of the episode.
          fold: of its users.

        Returns:
          user: rows of its users, [users].
          fold: as given.
          queries: rows of its queries in the training world, [queries]; all other rows of queries are numbers of these.
          history, predicted: their decisions, see `data.batches.Batches.rows`.
          known: rows of queries to compare with, [known].
          hidden: rows of the queries of the decisions to predict, [hidden].
          place: index into `hidden` of each decision to predict, [users, predicted].
        """
        random = np.random.default_rng([self.seed, 2, number, fold])
        order = random.permutation(self.num_queries).astype(np.int32)
        users = random.choice(self._users[fold], _USERS, replace=len(self._users[fold]) < _USERS)
        known, hidden = self._split(order, users)
        histories, predicted = zip(*(self._of_user(user, hidden, random) for user in users), strict=True)
        history = self._batches.of_decisions(*_padded(histories, self._batches.history))
        asked = self._batches.of_decisions(*_padded(predicted, _PREDICTED))
        place = np.zeros(self.num_queries, np.int32)
        place[hidden] = np.arange(len(hidden))
        queries, of_row = self._numbered(known, hidden, history["query"].ravel(), asked["query"].ravel())
        return {
            "user": users,
            "fold": np.int32(fold),
            "queries": queries,
            "history": history | {"query": of_row[history["query"]]},
            "predicted": asked | {"query": of_row[asked["query"]]},
            "known": of_row[known],
            "hidden": of_row[hidden],
            "place": place[asked["query"]],
        }

    def _split(self, order: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The known and the hidden queries; no hidden ones where test queries are known.

        Of many queries those are hidden that the users decided on: of any hundred they know none. Others fill up both.

        Args:
          order: all queries in random order.
        """
        decided = np.ones(self.num_queries, bool)
        if self.num_queries > self._most_queries:
            decided = self._decided_by(users)
            order = np.concatenate([order[decided[order]], order[~decided[order]]])
        some, most = (min(int(_HIDDEN_SHARE * n) + 1, _MOST_HIDDEN) for n in (decided.sum(), self.num_queries))
        if not self.new_queries:
            some = most = 0
        return order[some : some + _MOST_KNOWN], np.append(order[:some], order[len(order) - most + some :])

    def _decided_by(self, users: np.ndarray) -> np.ndarray:
        """Whether some of the users decided on a query, [queries]."""
        starts, found = self.store.users, np.zeros(self.num_queries, bool)
        query = np.concatenate([self.world_query[self.store.query[starts[u] : starts[u + 1]]] for u in users])
        found[query[query >= 0]] = True
        return found

    def _numbered(self, *rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The queries of an episode, always as many, and the number among them of each query of the world."""
        named = np.arange(self.num_queries)
        if self.num_queries > self._most_queries:
            named = np.unique(np.concatenate(rows))
        queries, of_row = np.zeros(min(self.num_queries, self._most_queries), np.int32), np.zeros(self.num_queries, int)
        queries[: len(named)] = named
        of_row[named] = np.arange(len(named))
        return queries, of_row.astype(np.int32)

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
        has_decision = np.diff(self.store.users) > 0
        return [users[has_decision[users]] for users in (self.users[fold::FOLDS] for fold in range(FOLDS))]

    @functools.cached_property
    def _most_queries(self) -> int:
        """The largest number of queries that an episode names."""
        return _MOST_HIDDEN + _MOST_KNOWN + _USERS * (self._batches.history + _PREDICTED)

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
