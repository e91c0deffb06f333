"""Which users a step reads, and what of their histories: a pure function of (seed, step).

Any process can make any rows of any step, so 1, 2 and 4 processes train on the same global batches, and a run that is
resumed needs no state of its input.
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

_DRAWS_AT_ONCE = 4  # of 64 bits that a Philox counter stands for


_GIVEN = {"rating": "rated", "thumb": "thumbed"}  # the column that says for which candidates a number is given


@dataclasses.dataclass(frozen=True)
class Batches:
    """All batches of a run.

    Each pass goes through the users once, in an order of its own; the last batch of a pass is filled with nobody.

    Attributes:
      world_query: row in the world of each query of the store, -1 where it may not be seen.
      users: number of them in a step; history: the most decisions of each.
    """

    store: HistoryStore
    world_query: np.ndarray
    users: int
    history: int
    seed: int

    @property
    def steps(self) -> int:
        """Of a pass."""
        return -(-self.store.num_users // self.users)

    @functools.cached_property
    def candidates(self) -> int:
        """The most on offer in a decision."""
        return int(self.store.offers.sum(1).max(initial=1))

    @functools.cached_property
    def kinds(self) -> dict[str, int]:
        """Columns of a batch with a number for some candidates, by name, and the kind of feedback that it is."""
        there = {("rating", RATING): self.store.has_ratings, ("thumb", THUMB): self.store.has_thumbs}
        return {name: kind for (name, kind), is_there in there.items() if is_there}

    @functools.cached_property
    def sides(self) -> bool:
        """Whether any decision tells whose answer was shown first."""
        return self.store.has_sides

    def rows(self, step: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows `start` to `stop` of the batch of a step; n = stop - start.

        Returns:
          query int32 [n, history], shown float32 [n, history], 1 where there is a decision; llm int16, offered int8 and
          target float32 [n, history, candidates]; with ratings also rating float32 and rated int8, with thumbs
          thumb and thumbed alike, with sides
          shown_first int8. (No bool: the TPU compiler of libtpu 0.0.42 dies of turning one into a number.)
        """
        user = self._users(step, start, stop)
        decision, there = self._decisions(user, step * self.users + start)
        query = self.world_query[self.store.query[decision]]
        there &= query >= 0
        offer = self.store.offer[decision]
        llm, slot, filled = self._slots
        offered = there[..., None] & filled[offer]
        found = {
            "query": np.where(there, query, 0).astype(np.int32),
            "shown": there.astype(np.float32),
            "llm": llm[offer],
        }
        found |= {"offered": offered.astype(np.int8), **self._said(decision, there, offer, slot)}
        if self.sides:
            first = self.store.first[decision][..., None]
            found["shown_first"] = (offered & (llm[offer] == first)).astype(np.int8)
        return found

    @functools.cached_property
    def _slots(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each candidate set: the LLM in each slot, the slot of each LLM [sets, llms], and which slots hold one.

        Slots are [sets, candidates].
        """
        order = np.argsort(~self.store.offers, axis=1, kind="stable").astype(np.int16)
        filled = np.arange(self.candidates) < self.store.offers.sum(1, keepdims=True)
        return order[:, : self.candidates], np.argsort(order, axis=1, kind="stable").astype(np.int16), filled

    def _users(self, step: int, start: int, stop: int) -> np.ndarray:
        """Rows of the store, -1 for nobody."""
        number, place = divmod(step, self.steps)
        order = _shuffled(self.seed, number, self.store.num_users)
        some = order[place * self.users + start : place * self.users + stop]
        return np.pad(some, (0, stop - start - len(some)), constant_values=-1)

    def _decisions(self, user: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Decisions of each user [n, history], all or as many drawn evenly over its history, and which there are."""
        start = self.store.users[user]
        count = np.where(user < 0, 0, self.store.users[user + 1] - start)[:, None]
        column = np.arange(self.history)
        place = np.broadcast_to(column, (len(user), self.history))
        if (count > self.history).any():
            place = np.where(count > self.history, self._drawn(count, row), place)
        there = place < count
        return np.where(there, start[:, None] + place, 0), there

    def _drawn(self, count: np.ndarray, row: int) -> np.ndarray:
        """Places in histories of `count` [n, 1] decisions: one of each of as many equal parts of a circle, turned."""
        each = -(-(self.history + 1) // _DRAWS_AT_ONCE)  # rows are drawn apart, so that any process can draw its own
        bits = np.random.Philox(key=[self.seed, 0]).advance(row * each)
        drawn = np.random.Generator(bits).random((len(count), each * _DRAWS_AT_ONCE))
        ends = np.arange(self.history + 1) * count // self.history
        width = np.diff(ends, axis=1)
        place = ends[:, :-1] + (drawn[:, : self.history] * width).astype(np.int64)
        return (place + (drawn[:, -1:] * count).astype(np.int64)) % np.maximum(count, 1)

    def _said(self, decision, there, offer, slot) -> dict[str, np.ndarray]:
        """What was said on each candidate."""
        store, shape = self.store, (*decision.shape, self.candidates)
        found = {"target": np.zeros(shape, np.float32)}
        rows = np.flatnonzero(there)
        start = store.said[decision.ravel()[rows]]
        count = store.said[decision.ravel()[rows] + 1] - start
        before = np.cumsum(count) - count
        at = np.repeat(start - before, count) + np.arange(count.sum())
        cell = np.repeat(rows * self.candidates, count)
        cell += slot[np.repeat(offer.ravel()[rows], count), store.said_llm[at]]
        kind, value = store.said_kind[at], store.said_value[at]
        found["target"].ravel()[cell[kind == CHOICE]] = value[kind == CHOICE]
        for name, number in self.kinds.items():
            found |= {name: np.zeros(shape, np.float32), _GIVEN[name]: np.zeros(shape, np.int8)}
            found[name].ravel()[cell[kind == number]] = value[kind == number]
            found[_GIVEN[name]].ravel()[cell[kind == number]] = 1
        return found


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, number: int, users: int) -> np.ndarray:
    return np.random.default_rng([seed, number]).permutation(users)


_AHEAD = 3  # batches that wait for the device


class Input:
    """Batches on the devices of a mesh, one after the other.

    Args:
      batches: None where every step reads the whole graph: then each batch is empty.
      start, stop: the steps.
    """

    def __init__(self, batches: Batches | None, mesh: jax.sharding.Mesh, start: int, stop: int):
        self.mesh = mesh
        self.waited, self.since = 0.0, time.perf_counter()
        self.users = 0 if batches is None else batches.users
        self.made = None if batches is None else _make_ahead(batches, mesh, start, stop)

    def __next__(self) -> dict[str, jax.Array]:
        if self.made is None:
            return {}
        begun = time.perf_counter()
        parts = next(self.made)
        self.waited += time.perf_counter() - begun
        return {name: self._placed({rows: part[name] for rows, part in parts.items()}) for name in _names(parts)}

    def waiting(self) -> dict[str, float]:
        """The share of time since the last call that was spent waiting for input; nothing where there is none."""
        now, waited, self.waited = time.perf_counter(), self.waited, 0.0
        share, self.since = waited / max(now - self.since, 1e-9), now
        return {} if self.made is None else {"input_wait": round(share, 4)}

    def _placed(self, parts: dict[tuple[int, int], np.ndarray]) -> jax.Array:
        """The rows of all processes as one array, of which this process holds `parts`."""
        shape = (self.users, *next(iter(parts.values())).shape[1:])
        return jax.make_array_from_callback(
            shape,
            users_sharding(self.mesh),
            lambda index: parts[_bounds(index, self.users)],  # pyright: ignore[reportArgumentType]
        )


def _names(parts: dict) -> list[str]:
    return list(next(iter(parts.values())))


def _make_ahead(batches: Batches, mesh: jax.sharding.Mesh, start: int, stop: int) -> Iterator:
    import grain.python as grain

    source = _Source(batches, mesh)
    dataset = grain.MapDataset.source(source).slice(slice(start, stop))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)))


class _Source:
    """What this process holds of the batch of every step, by the rows that each of its devices takes."""

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
