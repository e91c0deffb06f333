"""Minibatches of user histories for training: a pure function of (seed, step), read ahead by Grain.

Every process can compute any rows of any step, so 1, 2 and 4 processes train on the same global batches, and a resumed
run needs no stored input state.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import SupportsIndex

import jax
import numpy as np

from prouter_jax.data.history_store import HistoryStore
from prouter_jax.data.interactions import CHOICE, RATING, THUMB
from prouter_jax.sharding import users_sharding

_DRAWS_AT_ONCE = 4  # random 64-bit numbers per Philox counter
_PREFETCHED = 3  # batches that are ready before the device needs them
_MASKS = {"rating": "rated", "thumb": "thumbed"}  # mask column of each column of numbers


@dataclasses.dataclass(frozen=True)
class Batches:
    """All minibatches of a run.

    A pass visits every user once, in a new random order; the last batch of a pass is padded with empty rows.

    Attributes:
      store: histories of all users.
      world_query: int [queries], row in the training world of each query of the store, -1 for hidden queries.
      users: users in a step.
      history: decisions of a user in a step, at most.
      seed: of the order of users and of the drawn decisions.
      left_out: users whose rows are empty, ascending; None for none.
    """

    store: HistoryStore
    world_query: np.ndarray
    users: int
    history: int
    seed: int
    left_out: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Steps of a pass."""
        return -(-self.store.num_users // self.users)

    @functools.cached_property
    def candidates(self) -> int:
        """The largest number of candidates of a decision."""
        return int(self.store.offers.sum(1).max(initial=1))

    @functools.cached_property
    def kinds(self) -> dict[str, int]:
        """The number columns of a batch ("rating", "thumb") and their kinds of feedback."""
        present = {("rating", RATING): self.store.has_ratings, ("thumb", THUMB): self.store.has_thumbs}
        return {name: kind for (name, kind), is_present in present.items() if is_present}

    @functools.cached_property
    def sides(self) -> bool:
        """Whether any decision records which answer was displayed first."""
        return self.store.has_sides

    def rows(self, step: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows of the batch of a step.

        Args:
          step: number of the step, from 0.
          start, stop: the rows; n = stop - start.

        Returns:
          query int32 [n, history]; shown float32 [n, history], 1 for decisions and 0 for padding; llm int16, offered
          int8 and target float32 [n, history, candidates]. With ratings also rating float32 and its mask rated int8,
          with thumbs thumb and thumbed, with sides shown_first int8, all [n, history, candidates]. Masks are not bool:
          the TPU compiler of libtpu 0.0.42 crashes on converting bool to a number.
        """
        user = self._users(step, start, stop)
        return self.of_decisions(*self.decisions_of(user, step * self.users + start))

    def of_decisions(self, decision: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of `rows` for some decisions.

        Args:
          decision: rows of decisions in the store, int [n, history].
          valid: False for padding, bool [n, history].
        """
        query = self.world_query[self.store.query[decision]]
        valid = valid & (query >= 0)
        offer = self.store.offer[decision]
        llm, slot, filled = self._slots
        offered = valid[..., None] & filled[offer]
        found = {
            "query": np.where(valid, query, 0).astype(np.int32),
            "shown": valid.astype(np.float32),
            "llm": llm[offer],
        }
        found |= {"offered": offered.astype(np.int8), **self._feedback(decision, valid, offer, slot)}
        if self.sides:
            first = self.store.first[decision][..., None]
            found["shown_first"] = (offered & (llm[offer] == first)).astype(np.int8)
        return found

    def decisions_of(self, user: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of each user's decisions, all or an even random sample, and False for padding.

        Args:
          user: rows of users, -1 for padding, int [n].
          row: number of the first of them among all rows of a run, from which samples are drawn.

        Returns:
          int and bool [n, history].
        """
        start = self.store.users[user]
        count = np.where(user < 0, 0, self.store.users[user + 1] - start)[:, None]
        column = np.arange(self.history)
        position = np.broadcast_to(column, (len(user), self.history))
        if (count > self.history).any():
            position = np.where(count > self.history, self._drawn(count, row), position)
        valid = position < count
        return np.where(valid, start[:, None] + position, 0), valid

    @functools.cached_property
    def _slots(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """LLM in each slot [sets, candidates], slot of each LLM [sets, llms], used slots [sets, candidates]."""
        order = np.argsort(~self.store.offers, axis=1, kind="stable").astype(np.int16)
        filled = np.arange(self.candidates) < self.store.offers.sum(1, keepdims=True)
        return order[:, : self.candidates], np.argsort(order, axis=1, kind="stable").astype(np.int16), filled

    def _users(self, step: int, start: int, stop: int) -> np.ndarray:
        """Users of some rows of a step; -1 for padding and users left out."""
        pass_number, batch = divmod(step, self.steps)
        order = _shuffled(self.seed, pass_number, self.store.num_users)
        some = order[batch * self.users + start : batch * self.users + stop]
        if self.left_out is not None:
            some = np.where(np.isin(some, self.left_out), -1, some)
        return np.pad(some, (0, stop - start - len(some)), constant_values=-1)

    def _drawn(self, count: np.ndarray, row: int) -> np.ndarray:
        """Random positions in histories of `count` [n, 1] decisions, stratified: one in each equal part, rotated."""
        each = -(-(self.history + 1) // _DRAWS_AT_ONCE)  # numbers of a row, so that any process can draw any row
        bits = np.random.Philox(key=[self.seed, 0]).advance(row * each)
        drawn = np.random.Generator(bits).random((len(count), each * _DRAWS_AT_ONCE))
        ends = np.arange(self.history + 1) * count // self.history
        width = np.diff(ends, axis=1)
        position = ends[:, :-1] + (drawn[:, : self.history] * width).astype(np.int64)
        return (position + (drawn[:, -1:] * count).astype(np.int64)) % np.maximum(count, 1)

    def _feedback(self, decision, valid, offer, slot) -> dict[str, np.ndarray]:
        """Columns of the feedback on each candidate, [n, history, candidates]."""
        store, shape = self.store, (*decision.shape, self.candidates)
        found = {"target": np.zeros(shape, np.float32)}
        rows = np.flatnonzero(valid)
        start = store.feedback_start[decision.ravel()[rows]]
        count = store.feedback_start[decision.ravel()[rows] + 1] - start
        before = np.cumsum(count) - count
        at = np.repeat(start - before, count) + np.arange(count.sum())
        cell = np.repeat(rows * self.candidates, count)
        cell += slot[np.repeat(offer.ravel()[rows], count), store.feedback_llm[at]]
        kind, value = store.feedback_kind[at], store.feedback_value[at]
        found["target"].ravel()[cell[kind == CHOICE]] = value[kind == CHOICE]
        for name, its_kind in self.kinds.items():
            found |= {name: np.zeros(shape, np.float32), _MASKS[name]: np.zeros(shape, np.int8)}
            found[name].ravel()[cell[kind == its_kind]] = value[kind == its_kind]
            found[_MASKS[name]].ravel()[cell[kind == its_kind]] = 1
        return found


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, pass_number: int, users: int) -> np.ndarray:
    return np.random.default_rng([seed, pass_number]).permutation(users)


class Input:
    """Iterator over the batches of consecutive steps, as arrays sharded over a mesh.

    Args:
      batches: the batches; None yields empty batches, for steps that read the whole graph.
      mesh: devices that the users of a batch are sharded over.
      start, stop: the steps.
    """

    def __init__(self, batches: Batches | None, mesh: jax.sharding.Mesh, start: int, stop: int):
        self.mesh = mesh
        self.waited, self.since = 0.0, time.perf_counter()
        self.users = 0 if batches is None else batches.users
        self.batches = None if batches is None else _iterate(batches, mesh, start, stop)

    def __next__(self) -> dict[str, jax.Array]:
        if self.batches is None:
            return {}
        started = time.perf_counter()
        parts = next(self.batches)
        self.waited += time.perf_counter() - started
        return {name: self._placed({rows: part[name] for rows, part in parts.items()}) for name in _names(parts)}

    def waiting(self) -> dict[str, float]:
        """{"input_wait": share of the time since the last call spent waiting for batches}; {} without batches."""
        now, waited, self.waited = time.perf_counter(), self.waited, 0.0
        share, self.since = waited / max(now - self.since, 1e-9), now
        return {} if self.batches is None else {"input_wait": round(share, 4)}

    def _placed(self, parts: dict[tuple[int, int], np.ndarray]) -> jax.Array:
        """One global array [users, ...]; this process provides the rows `parts`."""
        shape = (self.users, *next(iter(parts.values())).shape[1:])
        return jax.make_array_from_callback(
            shape,
            users_sharding(self.mesh),
            lambda index: parts[_bounds(index, self.users)],  # pyright: ignore[reportArgumentType]
        )


def _names(parts: dict) -> list[str]:
    return list(next(iter(parts.values())))


def _iterate(batches: Batches, mesh: jax.sharding.Mesh, start: int, stop: int) -> Iterator:
    import grain.python as grain

    source = _Source(batches, mesh)
    dataset = grain.MapDataset.source(source).slice(slice(start, stop))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=_PREFETCHED)))


class _Source:
    """Grain source: for each step, this process's rows of the batch, by (start, stop) of each device."""

    def __init__(self, batches: Batches, mesh: jax.sharding.Mesh):
        self.batches = batches
        devices = users_sharding(mesh).addressable_devices_indices_map((batches.users,))
        self.rows = sorted({_bounds(index, batches.users) for index in devices.values() if index is not None})

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: SupportsIndex) -> dict[tuple[int, int], dict[str, np.ndarray]]:
        return {rows: self.batches.rows(int(index), *rows) for rows in self.rows}


def _bounds(index: tuple[slice, ...], number: int) -> tuple[int, int]:
    start, stop, _ = index[0].indices(number)
    return start, stop
