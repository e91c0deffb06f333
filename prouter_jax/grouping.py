"""Equal rows as groups, numbered by first appearance: sets of candidates, and keys of any kind."""

import numpy as np
import pyarrow as pa


def distinct_sets(member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of `member` (bool [rows, llms]) by first appearance, and each row's place among them."""
    packed = np.packbits(member, axis=1)
    kind = pa.binary(packed.shape[1])
    cells = pa.FixedSizeBinaryArray.from_buffers(kind, len(packed), [None, pa.py_buffer(np.ascontiguousarray(packed))])
    place = cells.dictionary_encode().indices.to_numpy()
    return member[_first_rows(place)], place.astype(np.int32)


def first_seen(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct keys by first appearance: each key's number, and the row where each number first stands."""
    group = pa.array(keys).dictionary_encode().indices.to_numpy()
    return group, _first_rows(group)


def sorted_distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys in order and each key's place among them, as `np.unique` but without sorting all keys."""
    encoded = pa.array(keys).dictionary_encode()
    found = encoded.dictionary.to_numpy()
    order = np.argsort(found)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return found[order], rank[encoded.indices.to_numpy()]


def first_repeat(keys: np.ndarray) -> int | None:
    """The first row whose key stands in an earlier row."""
    repeated = np.ones(len(keys), bool)
    repeated[first_seen(keys)[1]] = False
    return int(repeated.argmax()) if repeated.any() else None


def _first_rows(group: np.ndarray) -> np.ndarray:
    before = np.maximum.accumulate(np.append(-1, group))[:-1]
    return np.flatnonzero(group > before)
