"""Queries to ask LLMs, with the reference answers and metrics that answers are graded by."""

import dataclasses
import hashlib
import json
import os

import numpy as np

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.tables.columns import load_table
from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.io.paths import make_path

_SCHEMA = {
    "query_id": "id?",
    "query": "text",
    "task_id": "id?",
    "reference": "texts?",
    "metric": "text?",
    "choices": "texts?",
}


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries, one row each: object arrays [queries] of str, "" for a missing value.

    Attributes:
      ids, texts, tasks: query id, query text and task id.
      references: the correct answer, or a JSON list of correct answers.
      metrics: name of the grading metric, see `grading_metrics.find_metric`.
      choices: of a multiple-choice question, a JSON list.
      duplicates: number of rows in the file that repeat another row and were dropped.
    """

    ids: np.ndarray
    texts: np.ndarray
    tasks: np.ndarray
    references: np.ndarray
    metrics: np.ndarray
    choices: np.ndarray
    duplicates: int = 0

    def columns(self) -> dict[str, np.ndarray]:
        """The values by column name of the table queries."""
        values = self.ids, self.texts, self.tasks, self.references, self.metrics, self.choices
        return dict(zip(_SCHEMA, values, strict=True))


def read_queries(path: str | os.PathLike) -> Queries:
    """Reads queries from a .parquet, .csv or .jsonl file.

    The column query is required; query_id, task_id, reference, metric and choices are optional. A row without a
    query_id gets one from the hash of its content, so that it is the same in every run.

    Raises:
      ValueError: one line with table (file), column and row, what was expected and what was found.
    """
    path = make_path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"table {path.name}: expected one of {', '.join(SUFFIXES)}, found {path.suffix!r}")
    table = load_table(path, _SCHEMA)
    cells = [table.strings(name) for name in _SCHEMA]
    contents = list(zip(*cells[1:], strict=True))
    ids = [given or _content_id(content) for given, content in zip(cells[0], contents, strict=True)]
    group, first = first_seen(np.array(ids, object))
    for row, first_row in enumerate(first[group].tolist()):
        if contents[row] != contents[first_row]:
            raise table.error("query_id", row, f"unique ids (row {first_row} has the same)", ids[row])
    kept = [np.array(ids, object)[first], *(column[first] for column in cells[1:])]
    return Queries(*kept, duplicates=len(ids) - len(first))


def _content_id(content: tuple[str, ...]) -> str:
    return f"query-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"
