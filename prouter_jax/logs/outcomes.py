"""Mean cost and tokens of each LLM's answers to each query, of more rows than fit in memory."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np

from prouter_jax.grouping import sorted_distinct

OF_OUTCOMES = ("cost", "input_tokens", "output_tokens")
_FILES = 32
_ROW = np.dtype([("query", "<i8"), ("llm", "<i4"), ("values", "<f4", len(OF_OUTCOMES))])


class OutcomeMeans:
    """Rows are dealt to files by their query as they come; each file is averaged by itself. A context manager."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        paths = [folder / f"{number}" for number in range(_FILES)]
        self._files = [self._stack.enter_context(path.open("w+b")) for path in paths]

    def __enter__(self) -> "OutcomeMeans":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def add(self, query: np.ndarray, llm: np.ndarray, values: np.ndarray) -> None:
        """More rows.

        Args:
          query: ids [rows]; llm: rows of LLMs [rows]; values: `OF_OUTCOMES` [rows, 3], NaN where unknown.
        """
        known = ~np.isnan(values).all(1)
        rows = np.empty(int(known.sum()), _ROW)
        rows["query"], rows["llm"], rows["values"] = query[known], llm[known], values[known]
        file = rows["query"] % _FILES
        order = np.argsort(file, kind="stable")
        for number, some in enumerate(np.split(rows[order], np.searchsorted(file[order], np.arange(1, _FILES)))):
            self._files[number].write(some.tobytes())

    def means(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Query ids, LLM rows and means [pairs, 3], each pair once, some pairs at a time."""
        for file in self._files:
            file.seek(0)
            rows = np.frombuffer(file.read(), _ROW)
            if len(rows):
                yield _average(rows)


def _average(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    queries, query = sorted_distinct(rows["query"])
    width = int(rows["llm"].max()) + 1
    pairs, pair = sorted_distinct(query * width + rows["llm"])
    means = np.empty((len(pairs), len(OF_OUTCOMES)))
    for place in range(len(OF_OUTCOMES)):
        values = rows["values"][:, place].astype(np.float64)
        known = ~np.isnan(values)
        total = np.bincount(pair[known], values[known], len(pairs))
        count = np.bincount(pair[known], minlength=len(pairs))
        means[:, place] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return queries[pairs // width], (pairs % width).astype(np.int32), means
