"""Where queries stand: what of a query is compared with others, known and new alike."""

from collections.abc import Callable

import jax
import numpy as np
from flax import struct

_QUERIES_AT_ONCE = 128


@struct.dataclass
class QueryFeatures:
    """Text vectors [queries, width], style of the texts [queries, features], task rows [queries] (the number of
    tasks for none)."""

    vectors: jax.Array | np.ndarray
    style: jax.Array | np.ndarray
    task: jax.Array | np.ndarray

    def take(self, rows) -> "QueryFeatures":
        """Some of the queries."""
        return jax.tree.map(lambda x: x[rows], self)

    def padded(self, rows: int) -> "QueryFeatures":
        """With zeros up to a number of rows, so that one shape is compiled."""
        return jax.tree.map(lambda x: np.pad(x, ((0, rows - len(x)),) + ((0, 0),) * (x.ndim - 1)), self)


def make_query_features(vectors: np.ndarray, style: np.ndarray, task: np.ndarray, num_tasks: int) -> QueryFeatures:
    """Places of queries from their text vectors, style and task rows, -1 for none."""
    task = np.where(task < 0, num_tasks, task).astype(np.int32)
    return QueryFeatures(vectors.astype(np.float32), style.astype(np.float32), task)


def in_parts(function: Callable[[QueryFeatures], jax.Array], places: QueryFeatures) -> np.ndarray:
    """`function` of places, always so many at a time: one shape is compiled, and whatever is asked beside a query,
    here or in another process, what comes of it is the same to the last bit."""
    parts = []
    for start in range(0, len(places.task), _QUERIES_AT_ONCE):
        some = places.take(slice(start, start + _QUERIES_AT_ONCE))
        parts.append(np.asarray(function(some.padded(_QUERIES_AT_ONCE)))[: len(some.task)])
    return np.concatenate(parts)
