"""The queries that LLMs are asked, with what tells a good answer from a bad one, if it is known."""

import dataclasses
import hashlib
import json
import os

import numpy as np

from prouter_jax.data.interactions import first_seen
from prouter_jax.data.tables import columns
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
    """Queries, one row each; object arrays [queries] of str, "" where nothing is known.

    Attributes:
      ids, texts, tasks: who they are, what is asked, and of which task.
      references: the right answer, or a JSON list of right answers.
      metrics: how an answer is graded, see `grading.grade`.
      choices: of multiple choice, a JSON list.
      repeated: rows of the file that said again what another row said, and were left out.
    """

    ids: np.ndarray
    texts: np.ndarray
    tasks: np.ndarray
    references: np.ndarray
    metrics: np.ndarray
    choices: np.ndarray
    repeated: int = 0


def read_queries(path: str | os.PathLike) -> Queries:
    """Reads a .parquet, .csv or .jsonl file with query and, optionally, query_id, task_id, reference, metric, choices.

    A row without a query_id gets one from its content, so that it is the same in every run.

    Raises:
      ValueError: one line with table (file), column and row, what was expected and what was found.
    """
    path = make_path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"table {path.name}: expected one of {', '.join(SUFFIXES)}, found {path.suffix!r}")
    if not path.is_file():
        raise ValueError(f"table {path.name}: expected a file, found none at {str(path)!r}")
    table = columns.load(path, _SCHEMA)
    cells = [table.strings(name) for name in _SCHEMA]
    contents = list(zip(*cells[1:], strict=True))
    ids = [known or _content_id(content) for known, content in zip(cells[0], contents, strict=True)]
    group, first = first_seen(np.array(ids, object))
    for row, place in enumerate(first[group].tolist()):
        if contents[row] != contents[place]:
            raise table.error("query_id", row, f"unique ids (row {place} has the same)", ids[row])
    kept = [np.array(ids, object)[first], *(column[first] for column in cells[1:])]
    return Queries(*kept, repeated=len(ids) - len(first))


def _content_id(content: tuple[str, ...]) -> str:
    return f"query-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"
