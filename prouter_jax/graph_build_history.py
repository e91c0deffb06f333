"""The history edges of a graph: what users decided, each user's decisions in one row."""

import dataclasses

import numpy as np

from prouter_jax.config_limits import USERS_AT_ONCE
from prouter_jax.decisions import DecisionArrays

_FULL_ENOUGH = 0.3  # a matrix of users and queries is worth its zeros from this share of decisions on


@dataclasses.dataclass(frozen=True)
class History:
    """The history edges: an `EdgeSet` whose arrays are made when they are asked for, for all of them are large.

    Attributes:
      decisions: of all users, ordered by user.
      column: the place of each decision in its user's row, [decisions].
      offered, llm: which slots hold a candidate and which LLM each slot holds, [decisions, candidates].
      shape: (users, decisions, candidates), each user's decisions in one row, padded to the longest; the candidates of
        a decision in its columns.
      shared: whether queries are shared.
    """

    decisions: DecisionArrays
    column: np.ndarray
    offered: np.ndarray
    llm: np.ndarray
    shape: tuple[int, int, int]
    shared: bool

    @property
    def senders(self) -> np.ndarray:
        if self.shared:
            # where a user did not decide takes part in the matrix products, so it must name the same queries and LLMs
            return self._edges(np.broadcast_to(np.arange(self.shape[2], dtype=np.int32), self.shape))
        return self._edges(self._filled(self.llm.astype(np.int32)))

    @property
    def receivers(self) -> np.ndarray:
        return self._edges(np.broadcast_to(np.arange(self.shape[0], dtype=np.int32)[:, None, None], self.shape))

    @property
    def query(self) -> np.ndarray:
        query = self._filled(self.decisions.query.astype(np.int32))
        if self.shared:
            query = query.max(0, keepdims=True)  # as for the senders
        return self._edges(np.broadcast_to(query[:, :, None], self.shape))

    @property
    def weight(self) -> np.ndarray:
        return self._flags(self.offered)

    @property
    def shown_first(self) -> np.ndarray:
        return self._flags(self.offered & (self.llm == self.decisions.first[:, None]))

    @property
    def first(self) -> np.ndarray:
        return self._numbers(np.where(self._known(self.decisions.target), self._of_slots(self.decisions.target), 0))

    @property
    def first_known(self) -> np.ndarray:
        return self._flags(self._known(self.decisions.target))

    @property
    def second(self) -> np.ndarray:
        """A rating; else 1 for a thumb up."""
        thumb = self._of_slots(self.decisions.thumb) > 0
        return self._numbers(np.where(self._known(self.decisions.rating), self._of_slots(self.decisions.rating), thumb))

    @property
    def second_known(self) -> np.ndarray:
        """1 for a rating, -1 for a thumb."""
        rated = self._known(self.decisions.rating)
        return self._flags(
            rated - (~rated & self.offered & (self._of_slots(self.decisions.thumb) >= 0)).astype(np.int8)
        )

    def _known(self, values: np.ndarray) -> np.ndarray:
        return self.offered & ~np.isnan(self._of_slots(values))

    def _of_slots(self, values: np.ndarray) -> np.ndarray:
        """Values [decisions, llms] as [decisions, candidates]."""
        return values if self.shared else np.take_along_axis(values, self.llm, 1)

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        return self._edges(self._filled(values.astype(np.float32)))

    def _flags(self, values: np.ndarray) -> np.ndarray:
        return self._edges(self._filled(values.astype(np.int8)))

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """Values [decisions, ...] at their places; zeros elsewhere."""
        table = np.zeros((*self.shape[:2], *values.shape[1:]), values.dtype)
        table[self.decisions.user, self.column] = values
        return table

    def _edges(self, table: np.ndarray) -> np.ndarray:
        """Values of the whole shape in the order of the edges."""
        return (np.moveaxis(table, 0, -1) if self.shared else table).reshape(-1)


def build_history(histories: DecisionArrays, num_users: int, shards: int) -> History:
    """The edges of some decisions; the number of users is padded to a multiple of `shards`."""
    histories = _ordered_by_user(histories)
    count = np.bincount(histories.user, minlength=num_users)
    shared = _queries_shared(histories, len(count))
    column = _columns(histories, count, shared)
    offered, llm = _candidates(histories.offered, shared)
    shape = (_padded_users(len(count), shards), bucket(int(column.max(initial=0)) + 1), offered.shape[1])
    return History(histories, column, offered, llm, shape, shared)


def bucket(number: int) -> int:
    """The next size of the form m * 2**k with 16 <= m < 32: at most 6 % more, and few compilations."""
    if number <= 16:
        return max(number, 1)
    step = 1 << (number.bit_length() - 5)
    return -(-number // step) * step


def whole_chunks(users: int) -> int:
    """So many users, filled up to a multiple of those that are read at once, if there are more than that."""
    return users if users <= USERS_AT_ONCE else -(-users // USERS_AT_ONCE) * USERS_AT_ONCE


def _ordered_by_user(histories: DecisionArrays) -> DecisionArrays:
    if (np.diff(histories.user) >= 0).all():
        return histories
    order = np.argsort(histories.user, kind="stable")
    return DecisionArrays(**{f.name: getattr(histories, f.name)[order] for f in dataclasses.fields(histories)})


def _padded_users(count: int, shards: int) -> int:
    """Users of a shard: as many as are read at once, or a multiple of that."""
    each = -(-count // shards)
    return shards * (bucket(each) if each <= USERS_AT_ONCE else whole_chunks(each))


def _queries_shared(histories: DecisionArrays, num_users: int) -> bool:
    """Whether users decided on the same queries, or on enough of the same for a full matrix of both to pay."""
    if num_users < 2 or not len(histories.user) or (histories.first >= 0).any():
        return False
    num_queries = int(histories.query.max()) + 1
    cells = np.unique(histories.user.astype(np.int64) * num_queries + histories.query)
    distinct = len(np.unique(histories.query))
    return len(cells) == len(histories.user) >= _FULL_ENOUGH * num_users * distinct


def _columns(histories: DecisionArrays, count: np.ndarray, shared: bool) -> np.ndarray:
    """The place of each decision in its user's row: that of its query where queries are shared."""
    if shared:
        return np.unique(histories.query, return_inverse=True)[1]
    return np.arange(len(histories.user)) - (np.cumsum(count) - count)[histories.user]


def _candidates(offered: np.ndarray, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which slots hold a candidate, and which LLM each slot holds; slots are the pool where queries are shared."""
    if shared:
        return offered, np.broadcast_to(np.arange(offered.shape[1]), offered.shape)
    width = bucket(int(offered.sum(1).max(initial=1)))
    llm = np.argsort(~offered, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(offered, llm, 1), llm
