"""The tables of a converted log: decisions, feedback, logged values, queries, outcomes, LLMs and offers.

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
from prouter_jax.data.interactions import KINDS, RATING, THUMB, Interactions
from prouter_jax.data.logs.queries import Merged, SeenIds, query_ids
from prouter_jax.data.logs.requests import MOST_LLMS, Requests
from prouter_jax.data.tables.read_write import nullable_numbers
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


class LogTables:
    """Numbers decisions, LLMs and candidate sets in their order of appearance and writes the tables."""

    def __init__(self, writer: TableWriter, outcomes: OutcomeMeans, merged: Merged | None):
        self._writer, self._outcomes, self._merged = writer, outcomes, merged
        self._seen = SeenIds()
        self._llms: dict[str, int] = {}
        self._offers: dict[frozenset[int] | None, int] = {}
        self._scales: set[bool] = set()
        self.decisions = self.queries = 0

    @property
    def llms(self) -> int:
        """Number of LLMs so far."""
        return len(self._llms)

    def add(self, requests: Requests) -> None:
        """Adds decisions.

        Raises:
          ValueError: if there are both thumbs and ratings of unknown range, or more than `MOST_LLMS` LLMs.
        """
        if not len(requests.served):
            return
        self._check_llms(requests)
        query = self._add_queries(requests)
        number = self.decisions + np.arange(len(query))
        measured, time = requests.numbers, nullable_numbers(requests.numbers["time"])
        decisions = {"decision_id": number, "user_id": requests.user, "query_id": query}
        self._writer.write("decisions", decisions | {"offer": self._number_offers(requests), "time": time})
        # LLMs that occur only in dropped rows have no number
        llm = np.array([self._llms.get(name, -1) for name in requests.llms], np.int32)[requests.served]
        names = pa.DictionaryArray.from_arrays(pa.array(llm), pa.array(list(self._llms), pa.string()))
        names = names.dictionary_decode()
        numbers = {"propensity": measured["propensity"], "reward": requests.reward, "latency": measured["latency"]}
        known = {name: nullable_numbers(values) for name, values in numbers.items()}
        self._writer.write("logged", {"decision_id": number, "llm": names} | known)
        self._add_feedback(requests, number, names)
        self._outcomes.add(query, llm, np.stack([measured[name] for name in OF_OUTCOMES], 1))
        self.decisions += len(query)

    def finish(self) -> None:
        """Writes the tables that need all decisions: outcomes, LLMs and offers."""
        names = list(self._llms)
        for query, llm, means in self._outcomes.means():
            columns = {name: nullable_numbers(means[:, place]) for place, name in enumerate(OF_OUTCOMES)}
            self._writer.write("outcomes", {"query_id": query, "llm": [names[row] for row in llm]} | columns)
        self._writer.write("llms", {"llm": names})
        sets = [(number, range(len(names)) if llms is None else sorted(llms)) for llms, number in self._offers.items()]
        rows = [(number, names[llm]) for number, llms in sets for llm in llms]
        self._writer.write("offers", {"offer": [number for number, _ in rows], "llm": [llm for _, llm in rows]})

    def _add_queries(self, requests: Requests) -> np.ndarray:
        """The query id of each row; writes the new queries."""
        query = query_ids(requests.task, requests.query)
        leader = query if self._merged is None else self._merged.of(query)
        own = np.flatnonzero(leader == query)  # only the leader of merged queries is written
        new = own[self._seen.first(query[own])]
        texts = (column.take(pa.array(new)) for column in (requests.query, requests.task))
        self._writer.write("queries", dict(zip(("query_id", "query", "task_id"), (query[new], *texts), strict=True)))
        self.queries += len(new)
        return leader

    def _add_feedback(self, requests: Requests, number: np.ndarray, names: pa.Array) -> None:
        judged = np.flatnonzero(~np.isnan(requests.reward))
        kind = pa.array(np.where(requests.rated[judged], KINDS[RATING], KINDS[THUMB]), pa.string())
        feedback = {"decision_id": number[judged], "kind": kind, "llm": names.take(pa.array(judged))}
        self._writer.write("feedback", feedback | {"value": requests.reward[judged]})

    def _number_offers(self, requests: Requests) -> np.ndarray:
        """The number of each row's candidate set, int64 [rows]."""
        sets = [frozenset(self._llms[requests.llms[llm]] for llm in np.flatnonzero(row)) for row in requests.sets]
        numbers = [self._offers.setdefault(llms, len(self._offers)) for llms in sets]
        if (requests.offer < 0).any():  # all LLMs of the log, later ones included
            numbers.append(self._offers.setdefault(None, len(self._offers)))
        return np.array(numbers)[requests.offer]

    def _check_llms(self, requests: Requests) -> None:
        """Numbers the new LLMs; checks that ratings and thumbs are on one scale."""
        self._scales |= set(np.unique(requests.rated[~np.isnan(requests.reward)]).tolist())
        if len(self._scales) > 1 and not requests.scaled:
            raise ValueError(
                "log: expected --rating_range=LOW:HIGH to bring ratings to 0..1, for there are thumbs as well"
            )
        for llm in np.union1d(np.flatnonzero(requests.sets.any(0)), requests.served):
            self._llms.setdefault(requests.llms[llm], len(self._llms))
        if len(self._llms) > MOST_LLMS:
            raise ValueError(f"log: expected at most {MOST_LLMS} different LLMs, found {len(self._llms)}")


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


def read_logged(folder: str | os.PathLike, data: Interactions) -> Logged:
    """Reads logged.parquet.

    Raises:
      ValueError: if the file is missing or does not match the decisions.
    """
    path = make_path(folder) / LOGGED
    if not path.is_file():
        raise ValueError(f"table {LOGGED}: expected it in {str(folder)!r}, as `prouter logs` writes it, found none")
    table = load_table(path, _SCHEMA)
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
