"""Queries for LLMs with their reference answers, and the journals of collected answers."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from prouter_jax.data.choices import letter_of, parse_choices
from prouter_jax.data.distinct import first_seen
from prouter_jax.data.tables.file_forms import require_format
from prouter_jax.data.tables.places import errors_have_places
from prouter_jax.data.tables.schema import load_table
from prouter_jax.data.tables.table import Table
from prouter_jax.io.paths import make_path
from prouter_jax.llm.journal import Journal

_SCHEMA = {
    "query_id": "id?",
    "query": "text",
    "task_id": "id?",
    "reference": "texts?",
    "metric": "text?",
    "choices": "options?",
}

ANSWERS = "answers.jsonl"
FAILURES = "failures.jsonl"
SENT = "sent.jsonl"


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
    require_format(path)
    with errors_have_places(lambda: [path]):
        return _read_queries(path)


def _read_queries(path: pathlib.Path) -> Queries:
    table = load_table(path, _SCHEMA)
    cells = _with_choices(table, [table.strings(name) for name in _SCHEMA])
    contents = list(zip(*cells[1:], strict=True))
    ids = [given or _content_id(content) for given, content in zip(cells[0], contents, strict=True)]
    group, first = first_seen(np.array(ids, object))
    for row, first_row in enumerate(first[group].tolist()):
        if contents[row] != contents[first_row]:
            raise table.error("query_id", row, f"unique ids (row {first_row} has the same)", ids[row])
    kept = [np.array(ids, object)[first], *(column[first] for column in cells[1:])]
    return Queries(*kept, duplicates=len(ids) - len(first))


@dataclasses.dataclass(frozen=True)
class Answer:
    """Journal record of an answer; a stored answer is never requested again.

    Attributes:
      key: see `RemoteLlm.keys`.
      llm, query_id: ids, for readers of the file.
      text: as the LLM wrote it, its thoughts between tags; "" if the reply had none.
      finish_reason: as reported by the server; "length" if the text was cut off.
      input_tokens, output_tokens: of this answer; `counted` is False if they are estimates and not the server's counts.
      cost: in USD, including lost attempts that may have been charged.
    """

    key: str
    llm: str
    query_id: str
    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    counted: bool
    cost: float

    def __post_init__(self):
        tokens = self.input_tokens, self.output_tokens
        texts = self.key, self.llm, self.query_id, self.text, self.finish_reason
        if not all(type(text) is str for text in texts) or not all(type(n) is int and n >= 0 for n in tokens):
            raise ValueError("expected texts and numbers of tokens")
        if not self.cost >= 0:
            raise ValueError("expected a cost")


@dataclasses.dataclass(frozen=True)
class Failure:
    """Journal record of a failed request; the next run requests the answer again.

    Attributes:
      key, llm, query_id: as of an `Answer`.
      reason: error message.
      cost: in USD, of attempts that may have been charged.
    """

    key: str
    llm: str
    query_id: str
    reason: str
    cost: float

    def __post_init__(self):
        if not all(type(text) is str for text in (self.key, self.reason)) or not self.cost >= 0:
            raise ValueError("expected a reason and a cost")


@dataclasses.dataclass(frozen=True)
class Sent:
    """Journal record of a request before it is sent; those that are left when a run begins were under way at a kill.

    Attributes:
      key, llm, query_id: as of an `Answer`.
      cost: the most in USD that the request may cost, lost attempts included; 0 once its failure is stored.
      ended: whether its failure is stored; of an answer the journal of answers tells.
    """

    key: str
    llm: str
    query_id: str
    cost: float
    ended: bool = False

    def __post_init__(self):
        if not all(type(text) is str for text in (self.key, self.llm, self.query_id)) or not self.cost >= 0:
            raise ValueError("expected ids and a cost")


@dataclasses.dataclass(frozen=True)
class AnswerStore:
    """The journals of a folder; one process at a time appends to them."""

    answers: Journal[Answer]
    failures: Journal[Failure]
    sent: Journal[Sent]

    @property
    def spent(self) -> float:
        """USD that all records of the folder cost."""
        return self.answers.spent + self.failures.spent

    async def settle_killed(self) -> list[Sent]:
        """Stores the requests under way at a kill as failures that cost the most they can, and returns them."""
        found = [one for one in self.sent.records.values() if not one.ended and one.key not in self.answers.records]
        for one in found:
            await self.failures.add(
                Failure(one.key, one.llm, one.query_id, "under way when the run was killed", one.cost)
            )
        self.sent.clear()
        return found


@contextlib.contextmanager
def open_answers(folder: pathlib.Path) -> Iterator[AnswerStore]:
    """Opens the journals of a folder, which is created if missing."""
    with (
        Journal(folder / ANSWERS, Answer, "an answer") as answers,
        Journal(folder / FAILURES, Failure, "a failure") as failures,
        Journal(folder / SENT, Sent, "a request") as sent,
    ):
        yield AnswerStore(answers, failures, sent)
        if not sent.records:
            sent.path.unlink()


def _with_choices(table: Table, cells: list[np.ndarray]) -> list[np.ndarray]:
    """The columns with options as JSON lists, whatever their form, and labels in references as letters."""
    columns = dict(zip(_SCHEMA, cells, strict=True))
    choices, references = columns["choices"].copy(), columns["reference"].copy()
    for row in np.flatnonzero(choices != ""):
        try:
            labels, texts = parse_choices(choices[row])
        except ValueError as error:
            expected = str(error).removeprefix("expected ").partition(", found")[0]
            raise table.error("choices", row, expected, choices[row]) from None
        choices[row] = json.dumps(texts, ensure_ascii=False)
        references[row] = letter_of(references[row], labels)
    return list((columns | {"choices": choices, "reference": references}).values())


def _content_id(content: tuple[str, ...]) -> str:
    return f"query-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"
