"""The records of PersonaRoute-Bench files as a stream, and what is kept of them.

The files repeat every text and embedding on each row: distinct texts with their vectors are kept, the first
response of each query and LLM, and numbers by row.
"""

import array
import contextlib
import pathlib
import re
from collections.abc import Generator

import numpy as np

from prouter_jax.readers.formats import csv_rows
from prouter_jax.validation import row_error

_COLUMNS = (
    *("user_id", "task_id", "query", "query_embedding", "effect", "cost", "llm"),
    *("task_description", "task_description_embedding"),
)


class Row:
    """One record of a file; its cells as what they should be."""

    def __init__(self, file: str, number: int, cells: dict[str, str]):
        self.file, self.number, self.cells = file, number, cells

    def text(self, column: str) -> str:
        if not self.cells[column]:
            raise self.error(column, "a text that is not empty", "")
        return self.text_or_none(column)

    def text_or_none(self, column: str) -> str:
        """The text of a cell that may be empty, or in a column that is not there."""
        text = self.cells.get(column, "")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.error(column, "UTF-8 text", text) from error
        return text

    def float(self, column: str, high: float) -> float:
        """A number in [0, high], NaN for an empty cell."""
        if not self.cells[column]:
            return np.nan
        expected = f"a number in [0, {high}]" if high < np.inf else "a finite number >= 0"
        try:
            value = float(self.cells[column])
        except ValueError as error:
            raise self.error(column, expected, self.cells[column]) from error
        if not (0 <= value <= high and value < np.inf):
            raise self.error(column, expected, value)
        return value

    def vector(self, column: str, others: list[np.ndarray]) -> np.ndarray:
        """float32 [width] from "[[0.1 0.2 ...]]", as wide as the others."""
        numbers = re.sub(r"[\[\],]", " ", self.cells[column]).split()
        try:
            vector = np.array(numbers, np.float64)
        except ValueError as error:
            raise self.error(column, "numbers in brackets", self.cells[column]) from error
        if not len(vector) or not (np.abs(vector) < 1e30).all():
            raise self.error(column, "finite numbers in brackets", self.cells[column])
        if others and len(vector) != len(others[0]):
            raise self.error(column, f"{len(others[0])} numbers as before", len(vector))
        return vector.astype(np.float32)

    def error(self, column: str, expected: str, found) -> ValueError:
        return row_error(self.file, column, self.number, expected, found)


class Stream:
    """What is kept of the rows: distinct texts with their vectors, and numbers by row."""

    def __init__(self):
        self.users, self.tasks, self.queries, self.llms = _Names(), _Names(), _Names(), _Names()
        self.preferences: list[float] = []
        self.descriptions: list[str] = []
        self.task_vectors: list[np.ndarray] = []
        self.query_vectors: list[np.ndarray] = []
        self.files: list[tuple[int, str]] = []
        self.best_llms = _Names()
        self.responses: dict[tuple[int, int], str] = {}
        self.user, self.query, self.llm, self.best = (array.array("i") for _ in range(4))
        self.effect, self.cost = array.array("d"), array.array("d")

    def add(self, row: Row) -> None:
        if not row.number:
            self.files.append((len(self.user), row.file))
        self.user.append(self._user(row))
        self.query.append(self._query(row))
        self.llm.append(self.llms[row.text("llm")])
        self.best.append(self._best(row))
        self._keep_response(row, self.query[-1], self.llm[-1])
        self.effect.append(row.float("effect", 1))
        self.cost.append(row.float("cost", np.inf))

    def _keep_response(self, row: Row, query: int, llm: int) -> None:
        if (query, llm) not in self.responses:
            self.responses[query, llm] = row.text_or_none("response")

    def _user(self, row: Row) -> int:
        user = self.users[row.text("user_id")]
        preference = row.float("performance_preference", 1) if "performance_preference" in row.cells else np.nan
        if user == len(self.preferences):
            self.preferences.append(preference)
        elif preference != self.preferences[user] and not np.isnan([preference, self.preferences[user]]).all():
            raise row.error("performance_preference", f"{self.preferences[user]} as before for this user", preference)
        return user

    def _query(self, row: Row) -> int:
        task = self.tasks[row.text("task_id")]
        if task == len(self.descriptions):
            self.descriptions.append(row.text("task_description"))
            self.task_vectors.append(row.vector("task_description_embedding", self.task_vectors))
        elif row.cells["task_description"] != self.descriptions[task]:
            raise row.error("task_description", "the text as before for this task", row.cells["task_description"])
        query = self.queries[task, row.text("query")]
        if query == len(self.query_vectors):
            self.query_vectors.append(row.vector("query_embedding", self.query_vectors))
        return query

    def _best(self, row: Row) -> int:
        """A number for the LLM named best; of a judge, 0 or 1 for this row's LLM."""
        if "best_llm" in row.cells:
            return self.best_llms[row.text("best_llm")]
        if row.cells["best_answer"] not in ("0", "1", "0.0", "1.0"):
            raise row.error("best_answer", "0 or 1", row.cells["best_answer"])
        return int(row.cells["best_answer"][0])

    def liked(self) -> np.ndarray:
        """bool [rows]: the row's LLM is the best, or one of them, of its user and query."""
        if not self.best_llms:
            return np.array(self.best, bool)
        return np.array([self.llms.get(name, -1) for name in self.best_llms])[self.best] == self.llm

    def error(self, row: int, column: str, expected: str, found) -> ValueError:
        first, file = [place for place in self.files if place[0] <= row][-1]
        return row_error(file, column, row - first, expected, found)


def read_rows(files: list[pathlib.Path]) -> Generator[Row, None, None]:
    """The records of all files, each with the columns that are needed; all files are of one variant."""
    variant: tuple[str, ...] = ()
    for file in files:
        with contextlib.closing(csv_rows(file)) as records:
            header = next(records, [])
            found = _variant(header)
            if variant and variant != found:
                raise ValueError(f"table {file.name}, column {found[0]}: expected {variant[0]} as in the files before")
            variant, number, wanted = found, -1, (*_COLUMNS, *found)
            for column in wanted:
                if header.count(column) != 1:
                    times = header.count(column)
                    raise ValueError(f"table {file.name}, column {column}: expected it once, found it {times} times")
            wanted += ("response",) * ("response" in header)
            places = [header.index(column) for column in wanted]
            for number, record in enumerate(records):
                yield Row(file.name, number, dict(zip(wanted, (record[place] for place in places), strict=True)))
        if number < 0:
            raise ValueError(f"table {file.name}: expected at least one row, found none")


class _Names(dict):
    """Numbers its keys by first appearance."""

    def __missing__(self, key) -> int:
        self[key] = len(self)
        return self[key]


def _variant(header: list[str]) -> tuple[str, ...]:
    judged = "best_answer" in header and "performance_preference" not in header
    return ("best_answer",) if judged else ("performance_preference", "best_llm")
