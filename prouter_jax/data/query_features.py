"""Query features for the query kernel: text embedding, style features, task."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Int

_QUERIES_AT_ONCE = 128
_FEW_QUERIES = 4  # a request has few: padded to these, it costs a third


@struct.dataclass
class QueryFeatures:
    """Features by which the query kernel compares queries.

    Attributes:
      vectors: float32 [queries, width], text vectors.
      style: float32 [queries, features], style of the texts.
      task: int32 [queries], task rows; the number of tasks for none.
    """

    vectors: jax.Array | np.ndarray
    style: jax.Array | np.ndarray
    task: jax.Array | np.ndarray

    def take(self, rows) -> "QueryFeatures":
        """The given rows."""
        return jax.tree.map(lambda x: x[rows], self)

    def padded(self, rows: int) -> "QueryFeatures":
        """Padded with zeros to a fixed number of rows, so that one shape is compiled."""
        return jax.tree.map(lambda x: _pad(x, rows), self)


def make_query_features(
    vectors: np.ndarray, style: np.ndarray, task: Int[np.ndarray, " queries"], num_tasks: int
) -> QueryFeatures:
    """Builds `QueryFeatures`.

    Args:
      vectors: [queries, width].
      style: [queries, features].
      task: int [queries], task rows, -1 for none.
    """
    task = np.where(task < 0, num_tasks, task).astype(np.int32)
    return QueryFeatures(vectors.astype(np.float32), style.astype(np.float32), task)


def in_parts(function: Callable[[QueryFeatures], Any], queries: QueryFeatures) -> Any:
    """Applies a function to queries in chunks of one size: 4 for a call with no more queries, else 128.

    Two shapes are compiled. The result for a query is the same whichever queries are in the call: to the last bit in
    chunks of the same size, to rounding in chunks of the other.

    Args:
      function: queries -> arrays [queries, ...].
      queries: any number of rows, at least one.
    """
    parts, size = [], _FEW_QUERIES if len(queries.task) <= _FEW_QUERIES else _QUERIES_AT_ONCE
    for start in range(0, len(queries.task), size):
        some = queries.take(slice(start, start + size))
        found, number = function(some.padded(size)), len(some.task)
        parts.append(jax.tree.map(lambda x, number=number: np.asarray(x)[:number], found))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _pad(values: jax.Array | np.ndarray, rows: int) -> np.ndarray:
    padded = np.zeros((rows, *values.shape[1:]), values.dtype)  # np.pad takes longer than a request's whole kernel
    padded[: len(values)] = values
    return padded
