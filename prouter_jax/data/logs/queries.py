"""Deduplication of logged queries: ids from the text, ids seen before, and merging of near-equal texts."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from prouter_jax.data.text_encoders import make_encoder

MOST_TO_MERGE = 200_000
"""Largest number of queries for `merge_near`, whose time is quadratic."""
_RECENT = 1 << 20
_AT_ONCE = 2048
_NUMBERS = re.compile(r"\d+")


def query_ids(tasks: pa.Array, texts: pa.Array) -> np.ndarray:
    """Query ids: 63 bits of the BLAKE2b hash of task and text, int64 [rows].

    The probability of a collision among 10 million queries is 1 in 180,000.
    """
    digests = [
        hashlib.blake2b(text if task is None else task + b"\0" + text, digest_size=8).digest()
        for task, text in zip(_bytes(tasks), _bytes(texts), strict=True)
    ]
    return (np.frombuffer(b"".join(digests), "<u8") >> 1).astype(np.int64)


class SeenIds:
    """The set of ids seen before, 8 bytes each, in two sorted arrays; the small one is merged into the large one."""

    def __init__(self):
        self._old = self._new = np.zeros(0, np.int64)

    def first(self, ids: np.ndarray) -> np.ndarray:
        """The rows of ids [rows] that were not seen before, neither here nor in earlier calls."""
        distinct, rows = np.unique(ids, return_index=True)
        fresh = ~(_contains(self._old, distinct) | _contains(self._new, distinct))
        self._new = np.sort(np.concatenate([self._new, distinct[fresh]]))
        if len(self._new) > _RECENT:
            self._old = np.sort(np.concatenate([self._old, self._new]), kind="stable")
            self._new = self._new[:0]
        return np.sort(rows[fresh])


class Merged:
    """A map from each query id to the id of the query that it was merged into.

    Args:
      ids: int64 [queries], distinct.
      leaders: int64 [queries], the id that replaces each.
    """

    def __init__(self, ids: np.ndarray, leaders: np.ndarray):
        order = np.argsort(ids)
        self._ids, self._leaders = ids[order], leaders[order]

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The id that replaces each of `ids` [rows]; the same id if it was not merged."""
        return self._leaders[np.searchsorted(self._ids, ids)]


def merge_near(ids: np.ndarray, tasks: Sequence[str | None], texts: Sequence[str], least: float) -> Merged:
    """Merges each query into the earliest one of its task with a similar text.

    Texts with different numbers are different questions and are not merged.

    Args:
      ids: int64 [queries], distinct, in the order of appearance.
      tasks, texts: of the queries.
      least: least cosine of the text vectors of merged queries.

    Raises:
      ValueError: if there are more than `MOST_TO_MERGE` queries.
    """
    if len(ids) > MOST_TO_MERGE:
        raise ValueError(f"merge_near: expected at most {MOST_TO_MERGE:,} different queries, found {len(ids):,}")
    vectors, leaders = make_encoder("wordllama").encode(texts), ids.copy()
    groups: dict[tuple, list[int]] = {}
    for row, (task, text) in enumerate(zip(tasks, texts, strict=True)):
        groups.setdefault((task, *_NUMBERS.findall(text)), []).append(row)
    for rows in map(np.array, groups.values()):
        leaders[rows] = ids[rows[_leaders(vectors[rows], least)]]
    return Merged(ids, leaders)


def _leaders(vectors: np.ndarray, least: float) -> np.ndarray:
    """Index of the earliest leader near each vector; a vector without one becomes a leader."""
    leader, leading = np.arange(len(vectors)), np.zeros(0, int)
    for start in range(0, len(vectors), _AT_ONCE):
        some = vectors[start : start + _AT_ONCE]
        near = some @ vectors[leading].T >= least
        found = near.any(1)
        if found.any():
            leader[start : start + len(some)][found] = leading[near[found].argmax(1)]
        own = _leaders_of_few(some[~found], least)
        rows = start + np.flatnonzero(~found)
        leader[rows] = rows[own]
        leading = np.append(leading, rows[own == np.arange(len(own))])
    return leader


def _leaders_of_few(vectors: np.ndarray, least: float) -> np.ndarray:
    near, leader = vectors @ vectors.T >= least, np.full(len(vectors), -1)
    for row in range(len(vectors)):
        if leader[row] < 0:
            leader[(leader < 0) & near[row]] = row
            leader[row] = row
    return leader


def _bytes(texts: pa.Array) -> list:
    return texts.cast(pa.large_binary()).to_pylist()


def _contains(ordered: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if not len(ordered):
        return np.zeros(len(ids), bool)
    return ordered[np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)] == ids
