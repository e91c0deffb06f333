"""From batches to arrays on the devices: made ahead in the background by Grain, each process its own rows."""

import time
from collections.abc import Iterator
from typing import SupportsIndex

import jax
import numpy as np

from prouter_jax.inputs.batches import Batches
from prouter_jax.sharding import users_sharding

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
