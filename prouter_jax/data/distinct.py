"""Numbering of equal keys: distinct rows, first appearances and repeats, by Arrow's hash tables."""

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, Shaped

Numbers = Int[np.ndarray, " rows"]
Keys = Shaped[np.ndarray, " rows"]


def distinct_sets(
    member: Bool[np.ndarray, "rows llms"],
) -> tuple[Bool[np.ndarray, "sets llms"], Numbers]:
    """The distinct rows of a membership matrix.

    Args:
      member: bool [rows, llms], the set of each row.

    Returns:
      The distinct sets, bool [sets, llms], in the order of first appearance; and int32 [rows], each row's set.
    """
    packed = np.packbits(member, axis=1)
    kind = pa.binary(packed.shape[1])
    cells = pa.FixedSizeBinaryArray.from_buffers(kind, len(packed), [None, pa.py_buffer(np.ascontiguousarray(packed))])
    number = cells.dictionary_encode().indices.to_numpy()
    return member[_first_rows(number)], number.astype(np.int32)


def first_seen(keys: Keys) -> tuple[Numbers, Int[np.ndarray, " distinct"]]:
    """Numbers the distinct keys in the order of first appearance.

    Args:
      keys: [rows], of any type that Arrow has.

    Returns:
      The number of each row's key [rows], and the first row with each number [distinct].
    """
    number = pa.array(keys).dictionary_encode().indices.to_numpy()
    return number, _first_rows(number)


def sorted_distinct(keys: Keys) -> tuple[Shaped[np.ndarray, " distinct"], Numbers]:
    """`np.unique(keys, return_inverse=True)` without sorting all keys.

    Returns:
      The distinct keys, sorted [distinct], and the index among them of each row's key [rows].
    """
    encoded = pa.array(keys).dictionary_encode()
    found = encoded.dictionary.to_numpy()
    order = np.argsort(found)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return found[order], rank[encoded.indices.to_numpy()]


def first_repeat(keys: Keys) -> int | None:
    """The first row whose key also occurs in an earlier row; None if all keys [rows] are distinct."""
    repeated = np.ones(len(keys), bool)
    repeated[first_seen(keys)[1]] = False
    return int(repeated.argmax()) if repeated.any() else None


def _first_rows(number: np.ndarray) -> np.ndarray:
    """The first row of each number; numbers appear in ascending order."""
    before = np.maximum.accumulate(np.append(-1, number))[:-1]
    return np.flatnonzero(number > before)
