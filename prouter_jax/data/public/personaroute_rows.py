"""Reads the rows of PersonaRoute-Bench files and keeps each distinct text and vector once."""

import array
from collections.abc import Generator

import numpy as np
from jaxtyping import Bool

from prouter_jax.data.public.builder import RowIndex
from prouter_jax.data.public.records import FileSet, Record, column_names
from prouter_jax.data.validation import row_error

_COLUMNS = (
    *("user_id", "task_id", "query", "query_embedding", "effect", "cost", "llm"),
    *("task_description", "task_description_embedding"),
)


def read_rows(files: FileSet) -> Generator[Record, None, None]:
    """Yields the records of all files, which must have the same columns for the best LLM.

    Raises:
      ValueError: naming file, column and row, for damaged files or files of both variants.
    """
    variant: tuple[str, ...] = ()
    for file in files.paths:
        found = _variant(column_names(file))
        if variant and variant != found:
            raise ValueError(f"table {file.name}, column {found[0]}: expected {variant[0]} as in the files before")
        variant = found
        yield from files.read(file, (*_COLUMNS, *found), ["response"])


def _variant(names: list[str]) -> tuple[str, ...]:
    judged = "best_answer" in names and "performance_preference" not in names
    return ("best_answer",) if judged else ("performance_preference", "best_llm")


class RowStore:
    """The content of the rows in compact form: each distinct text and vector once, and numbers by row.

    Attributes:
      users, tasks, queries, llms: the index of each user id, task id, (task index, query text) and LLM name.
      preferences: by user, the weight of quality in [0, 1], NaN if missing.
      descriptions, task_vectors: by task, the text and its embedding.
      query_vectors: by query, the embedding of its text.
      files: the first row and the name of each file.
      best_llms: the index of each name in the column best_llm; empty for data with best_answer.
      responses: the first answer by query and LLM index.
      user, query, llm: by row, the indices.
      best: by row, an index in `best_llms`, or the best_answer, 0 or 1.
      effect, cost: by row, the quality in [0, 1] and the cost in USD.
    """

    def __init__(self):
        self.users, self.tasks, self.queries, self.llms = RowIndex(), RowIndex(), RowIndex(), RowIndex()
        self.preferences: list[float] = []
        self.descriptions: list[str] = []
        self.task_vectors: list[np.ndarray] = []
        self.query_vectors: list[np.ndarray] = []
        self.files: list[tuple[int, str]] = []
        self.best_llms = RowIndex()
        self.responses: dict[tuple[int, int], str] = {}
        self.user, self.query, self.llm, self.best = (array.array("i") for _ in range(4))
        self.effect, self.cost = array.array("d"), array.array("d")

    def add(self, row: Record) -> None:
        """Adds a row.

        Raises:
          ValueError: if a cell is invalid, or differs from an earlier row of the same user or task.
        """
        if not row.number:
            self.files.append((len(self.user), row.file))
        self.user.append(self._user(row))
        self.query.append(self._query(row))
        self.llm.append(self.llms[row.text("llm")])
        self.best.append(self._best(row))
        answer = self.query[-1], self.llm[-1]
        if answer not in self.responses:
            self.responses[answer] = row.text_or_empty("response")
        self.effect.append(row.float("effect", 0, 1))
        self.cost.append(row.float("cost", 0))

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
        """The index of the best LLM in `best_llms`, or the best_answer of this row."""
        if "best_llm" in row.cells:
            return self.best_llms[row.text("best_llm")]
        if row.cells["best_answer"] not in ("0", "1", "0.0", "1.0"):
            raise row.error("best_answer", "0 or 1", row.cells["best_answer"])
        return int(row.cells["best_answer"][0])

    def is_best(self) -> Bool[np.ndarray, " rows"]:
        """Whether the LLM of each row is the best, or one of the best, for its user and query."""
        if not self.best_llms:
            return np.array(self.best, bool)
        return np.array([self.llms.get(name, -1) for name in self.best_llms])[self.best] == self.llm

    def error(self, row: int, column: str, expected: str, found) -> ValueError:
        """An error about a cell; `row` counts over all files, the message within its file."""
        first, file = [start for start in self.files if start[0] <= row][-1]
        return row_error(file, column, row - first, expected, found)
