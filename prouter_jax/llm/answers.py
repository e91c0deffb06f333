"""Queries for LLMs with their reference answers, and collected answers: journals, and the tables written from them."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.schema import load_table
from prouter_jax.io.paths import make_path
from prouter_jax.llm.journal import Journal
from prouter_jax.llm.pool import RemoteLlm

_SCHEMA = {
    "query_id": "id?",
    "query": "text",
    "task_id": "id?",
    "reference": "texts?",
    "metric": "text?",
    "choices": "texts?",
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


@dataclasses.dataclass(frozen=True)
class Answer:
    """Journal record of an answer; a stored answer is never requested again.

    Attributes:
      key: see `RemoteLlm.keys`.
      llm, query_id: ids, for readers of the file.
      text: of the answer, "" if the reply had none.
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


def write_collected(
    folder: str | os.PathLike,
    queries: Queries,
    llms: Sequence[tuple[RemoteLlm, list[str]]],
    answers: dict[str, Answer],
) -> None:
    """Writes the tables queries, llms and outcomes for `read_tables`, each file whole.

    The table queries also has the columns reference, metric and choices, which grading reads, and outcomes has
    finish_reason. The effect of every outcome is missing; its cost is computed with the pool's current prices.

    Args:
      llms: each with the keys of its answers to the queries.
      answers: by key; a pair without an answer has no row.
    """
    pairs = [
        (query_id, llm, answers[key])
        for llm, keys in llms
        for query_id, key in zip(queries.ids, keys, strict=True)
        if key in answers
    ]
    outcomes = make_path(folder) / "outcomes.parquet"
    outcomes.unlink(missing_ok=True)  # if this run is killed here, outcomes of other queries must not remain
    texts = {name: _texts(cells) for name, cells in queries.columns().items()}
    write_parquet(make_path(folder) / "queries.parquet", pa.table(texts))
    write_parquet(make_path(folder) / "llms.parquet", _llms_table([llm for llm, _ in llms]))
    if pairs:
        write_parquet(outcomes, _outcomes_table(pairs))


def _content_id(content: tuple[str, ...]) -> str:
    return f"query-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]}"


def _texts(cells) -> pa.Array:
    return pa.array([cell or None for cell in cells], pa.string())


def _llms_table(llms: list[RemoteLlm]) -> pa.Table:
    texts = ("family", "description", "pool")
    prices = ("input_price", "output_price")
    return pa.table(
        {"llm": pa.array([llm.name for llm in llms], pa.string())}
        | {name: _texts([getattr(llm, name) for llm in llms]) for name in texts}
        | {name: pa.array([getattr(llm, name) for llm in llms], pa.float64()) for name in prices}
    )


def _outcomes_table(pairs: list[tuple[str, RemoteLlm, Answer]]) -> pa.Table:
    answers = [answer for _, _, answer in pairs]
    costs = [llm.cost(answer.input_tokens, answer.output_tokens) for _, llm, answer in pairs]
    return pa.table(
        {
            "query_id": pa.array([query_id for query_id, _, _ in pairs], pa.string()),
            "llm": pa.array([llm.name for _, llm, _ in pairs], pa.string()),
            "effect": pa.nulls(len(pairs), pa.float64()),
            "cost": pa.array(costs, pa.float64()),
            "input_tokens": pa.array([answer.input_tokens for answer in answers], pa.int64()),
            "output_tokens": pa.array([answer.output_tokens for answer in answers], pa.int64()),
            "response": pa.array([answer.text or None for answer in answers], pa.large_string()),
            "finish_reason": _texts([answer.finish_reason for answer in answers]),
        }
    )
