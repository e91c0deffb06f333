"""Tables of a converted log that are written in pieces, means of outcomes, and the table logged.

logged.parquet has the served LLM, propensity, reward and latency of each decision, for off-policy estimates.
"""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data.distinct import sorted_distinct
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.schema import load_table
from prouter_jax.data.tables.table import AllowedIds
from prouter_jax.data.validation import row_error
from prouter_jax.io import files
from prouter_jax.io.paths import make_path

LOGGED = "logged.parquet"
"""File name of the table."""
_SCHEMA = {"decision_id": "key", "llm": "id", "propensity": "number?", "reward": "number?", "latency": "number?"}


class TableWriter:
    """Writes Parquet tables in pieces; a context manager that completes the files at its end.

    Tables without rows are not created. The table written first (decisions) is completed last, so that a partial folder
    lacks it and cannot be read.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._stack = folder, contextlib.ExitStack()
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    @property
    def files(self) -> set[str]:
        """Names of the files with rows."""
        return {f"{name}.parquet" for name in self._writers}

    def write(self, name: str, columns: dict) -> None:
        """Appends rows to a table; `columns` are arguments of `pa.table`, of the same types in each call."""
        table = pa.table(columns)
        if not table.num_rows:
            return
        if name not in self._writers:
            file = self._stack.enter_context(files.open_whole(self._folder / f"{name}.parquet"))
            options = {"compression": "zstd", "write_page_checksum": True}
            self._writers[name] = self._stack.enter_context(pq.ParquetWriter(file, table.schema, **options))
        self._writers[name].write_table(table)


OF_OUTCOMES = ("cost", "input_tokens", "output_tokens")
"""Measured columns of the table of outcomes."""
_FILES = 32
_ROW = np.dtype([("query", "<i8"), ("llm", "<i4"), ("values", "<f4", len(OF_OUTCOMES))])


class OutcomeMeans:
    """Means of outcomes by query and LLM, with rows in temporary files; a context manager.

    A hash of the query chooses the file of a row, so each file can be averaged alone.
    """

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
        """Adds rows.

        Args:
          query: int64 [rows], query ids.
          llm: int [rows], numbers of LLMs.
          values: [rows, OF_OUTCOMES], NaN if missing.
        """
        measured = ~np.isnan(values).all(1)
        rows = np.empty(int(measured.sum()), _ROW)
        rows["query"], rows["llm"], rows["values"] = query[measured], llm[measured], values[measured]
        file = rows["query"] % _FILES
        order = np.argsort(file, kind="stable")
        for number, some in enumerate(np.split(rows[order], np.searchsorted(file[order], np.arange(1, _FILES)))):
            self._files[number].write(some.tobytes())

    def means(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields query ids [pairs], LLMs [pairs] and means [pairs, OF_OUTCOMES], in groups of distinct pairs."""
        for file in self._files:
            file.seek(0)
            rows = np.frombuffer(file.read(), _ROW)
            if len(rows):
                yield _average(rows)


@dataclasses.dataclass(frozen=True)
class Logged:
    """Logged values of the decisions of an `Interactions`, in its order.

    Attributes:
      served: int32 [decisions], the LLM that answered.
      propensity: float64 [decisions], probability with which the logging policy chose it, NaN if missing.
      reward: float64 [decisions], rating or thumb (1 up, 0 down), NaN if missing.
      latency: float64 [decisions], seconds, NaN if missing.
    """

    served: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    latency: np.ndarray


def read_logged(folder: str | os.PathLike, data: Interactions, subset: bool = False) -> Logged:
    """Reads logged.parquet.

    Args:
      subset: whether the file may have decisions that `data` lacks.

    Raises:
      ValueError: if the file is missing or does not match the decisions.
    """
    path = make_path(folder) / LOGGED
    if not path.is_file():
        raise ValueError(f"table {LOGGED}: expected it in {str(folder)!r}, as `prouter logs` writes it, found none")
    table = load_table(path, _SCHEMA)
    if subset:
        table = table.take(np.isin(table.strings("decision_id").astype(str), data.decisions.ids.astype(str)))
    row = table.find_ids("decision_id", AllowedIds(data.decisions.ids, "a decision_id of decisions"))
    if len(row) != len(data.decisions.ids):
        raise ValueError(f"table {LOGGED}: expected {len(data.decisions.ids)} rows as in decisions, found {len(row)}")
    served = table.find_ids("llm", AllowedIds(data.llms.ids, "an llm of llms"))
    offered = data.offers[data.decisions.offer[row], served]
    if not offered.all():
        bad = int(offered.argmin())
        raise row_error(LOGGED, "llm", bad, "an LLM on offer in its decision", data.llms.ids[served[bad]])
    order = np.argsort(row)
    numbers = (table.floats(name)[order] for name in ("propensity", "reward", "latency"))
    return Logged(served[order], *numbers)


def _average(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    queries, query = sorted_distinct(rows["query"])
    width = int(rows["llm"].max()) + 1
    pairs, pair = sorted_distinct(query * width + rows["llm"])
    means = np.empty((len(pairs), len(OF_OUTCOMES)))
    for column in range(len(OF_OUTCOMES)):
        values = rows["values"][:, column].astype(np.float64)
        present = ~np.isnan(values)
        total = np.bincount(pair[present], values[present], len(pairs))
        count = np.bincount(pair[present], minlength=len(pairs))
        means[:, column] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return queries[pairs // width], (pairs % width).astype(np.int32), means
