"""The records of PersonaRoute-Bench files as a stream, and what is kept of them.

The files repeat every text and embedding on each row: distinct texts with their vectors are kept, the first
response of each query and LLM, and numbers by row.
"""

import array
from collections.abc import Generator

import numpy as np

from prouter_jax.readers.collected import Names
from prouter_jax.readers.file_set import FileSet
from prouter_jax.readers.record import Record
from prouter_jax.readers.records import header
from prouter_jax.validation import row_error

_COLUMNS = (
    *("user_id", "task_id", "query", "query_embedding", "effect", "cost", "llm"),
    *("task_description", "task_description_embedding"),
)


class Stream:
    """What is kept of the rows: distinct texts with their vectors, and numbers by row."""

    def __init__(self):
        self.users, self.tasks, self.queries, self.llms = Names(), Names(), Names(), Names()
        self.preferences: list[float] = []
        self.descriptions: list[str] = []
        self.task_vectors: list[np.ndarray] = []
        self.query_vectors: list[np.ndarray] = []
        self.files: list[tuple[int, str]] = []
        self.best_llms = Names()
        self.responses: dict[tuple[int, int], str] = {}
        self.user, self.query, self.llm, self.best = (array.array("i") for _ in range(4))
        self.effect, self.cost = array.array("d"), array.array("d")

    def add(self, row: Record) -> None:
        if not row.number:
            self.files.append((len(self.user), row.file))
        self.user.append(self._user(row))
        self.query.append(self._query(row))
        self.llm.append(self.llms[row.text("llm")])
        self.best.append(self._best(row))
        self._keep_response(row, self.query[-1], self.llm[-1])
        self.effect.append(row.float("effect", 0, 1))
        self.cost.append(row.float("cost", 0))

    def _keep_response(self, row: Record, query: int, llm: int) -> None:
        if (query, llm) not in self.responses:
            self.responses[query, llm] = row.text_or_none("response")

    def _user(self, row: Record) -> int:
        user = self.users[row.text("user_id")]
        preference = row.float("performance_preference", 0, 1) if "performance_preference" in row.cells else np.nan
        if user == len(self.preferences):
            self.preferences.append(preference)
        elif preference != self.preferences[user] and not np.isnan([preference, self.preferences[user]]).all():
            raise row.error("performance_preference", f"{self.preferences[user]} as before for this user", preference)
        return user

    def _query(self, row: Record) -> int:
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

    def _best(self, row: Record) -> int:
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


def read_rows(files: FileSet) -> Generator[Record, None, None]:
    """The records of all files, each with the columns that are needed; all files are of one variant."""
    variant: tuple[str, ...] = ()
    for file in files.paths:
        found = _variant(header(file))
        if variant and variant != found:
            raise ValueError(f"table {file.name}, column {found[0]}: expected {variant[0]} as in the files before")
        variant = found
        yield from files.read(file, (*_COLUMNS, *found), ["response"])


def _variant(names: list[str]) -> tuple[str, ...]:
    judged = "best_answer" in names and "performance_preference" not in names
    return ("best_answer",) if judged else ("performance_preference", "best_llm")
