"""Query features for the query kernel: text embedding, style features, task."""

from collections.abc import Callable

import jax
import numpy as np
from flax import struct
from jaxtyping import Int

_QUERIES_AT_ONCE = 128


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
        return jax.tree.map(lambda x: np.pad(x, ((0, rows - len(x)),) + ((0, 0),) * (x.ndim - 1)), self)


def make_query_features(
    vectors: np.ndarray, style: np.ndarray, task: Int[np.ndarray, " queries"], num_tasks: int
) -> QueryFeatures:
    """Builds `QueryFeatures`.

    Args:
      vectors: [queries, width].
      style: [queries, features].
      task: int [queries], task rows, -1 for none.
      num_tasks: number of tasks.
    """
    task = np.where(task < 0, num_tasks, task).astype(np.int32)
    return QueryFeatures(vectors.astype(np.float32), style.astype(np.float32), task)


def in_parts(function: Callable[[QueryFeatures], jax.Array], queries: QueryFeatures) -> np.ndarray:
    """Applies a function to queries in chunks of one size.

    One shape is compiled, and the result for a query has the same bits whichever queries are in the call.

    Args:
      function: queries -> [queries, ...].
      queries: any number of rows, at least one.
    """
    parts = []
    for start in range(0, len(queries.task), _QUERIES_AT_ONCE):
        some = queries.take(slice(start, start + _QUERIES_AT_ONCE))
        parts.append(np.asarray(function(some.padded(_QUERIES_AT_ONCE)))[: len(some.task)])
    return np.concatenate(parts)
