"""From columns of pairs to choices: the vectorised inside of `Router`, one chunk of rows at a time."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.distinct import sorted_distinct
from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.data.rewards import CostScale
from prouter_jax.model.inference import QueryBatch, Scorer, join
from prouter_jax.serving.batch.write import Scored

_TEXTS_REMEMBERED = 1 << 16
_BASES = ("cold_start", "history")


@dataclasses.dataclass(frozen=True)
class Constraints:
    """What is asked of every choice: highest expected cost in USD, bool [llms] of those allowed."""

    max_cost: float | None = None
    allow: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """What a router knows, in the form that scoring needs.

    Attributes:
      temperature: what logits are multiplied with to be calibrated.
      users: their states, [users + 1, properties]; the last row is for users without history.
      describe: (texts, task rows) -> their places among the queries.
      remembered: (answers, cost, kernel) of texts that were scored before, by (text, task row).
    """

    scorer: Scorer
    temperature: float
    llms: list[str]
    users: np.ndarray
    has_history: np.ndarray
    user_rows: dict[str, int]
    query_rows: dict[str, int]
    query_task: np.ndarray
    task_rows: dict[str, int]
    scale: CostScale
    describe: Callable[[Sequence[str], np.ndarray], QueryFeatures]
    remembered: collections.OrderedDict = dataclasses.field(default_factory=collections.OrderedDict)


@dataclasses.dataclass(frozen=True)
class _Queries:
    """The queries of a chunk: each row's among the distinct ones [rows], and their expected costs in USD."""

    place: np.ndarray
    asked: QueryBatch
    cost: np.ndarray


def route(pool: Pool, columns: dict[str, pa.Array], constraints: Constraints) -> Scored:
    """Scores one chunk of rows; what is wrong with a row is said in `error` and does not stop the others."""
    errors = _Errors(len(columns["user_id"]))
    user = _user_rows(pool, columns["user_id"], errors)
    asked = _asked(pool, columns, errors)
    offered = _offered(pool, columns.get("candidates"), errors)
    offered &= _within(asked, constraints, offered, errors)
    logits = pool.temperature * pool.scorer.logits(pool.users, asked.asked, user, asked.place)
    wrong = errors.rows()
    llm, shares = _choose(logits, offered, wrong)
    basis = _named(_BASES, pool.has_history[user].astype(np.int32), wrong)
    return Scored(_named(pool.llms, llm, wrong), pool.llms, shares, basis, errors.column())


def _choose(logits: np.ndarray, offered: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best candidate of each row, and the shares of all, NaN for what is not on offer or wrong; [rows, llms]."""
    logits = np.where(offered, logits, -np.inf)
    logits[wrong] = 0.0
    best = logits.argmax(1)
    logits -= np.take_along_axis(logits, best[:, None], 1)
    shares = np.exp(logits, out=logits)
    shares /= shares.sum(1, keepdims=True)
    shares[~offered] = np.nan
    shares[wrong] = np.nan
    return best, shares


def _named(names: Sequence[str], which: np.ndarray, wrong: np.ndarray) -> pa.Array:
    """The name of each row, null where it is wrong."""
    return pa.array(names, pa.string()).take(pa.array(which, mask=wrong))


class _Errors:
    """The first thing that is wrong with each row."""

    def __init__(self, number: int):
        self.number = number
        self.messages: dict[int, str] = {}

    def add(self, rows: np.ndarray, message: Callable[[int], str]) -> None:
        for row in np.flatnonzero(rows).tolist():
            if row not in self.messages:
                self.messages[row] = message(row)

    def rows(self) -> np.ndarray:
        wrong = np.zeros(self.number, bool)
        wrong[list(self.messages)] = True
        return wrong

    def column(self) -> pa.Array:
        if not self.messages:
            return pa.nulls(self.number, pa.string())
        return pa.array([self.messages.get(row) for row in range(self.number)], pa.string())


def _codes(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Distinct values of a column and each row's place among them, -1 for null."""
    encoded = column.dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _lookup(column: pa.Array, rows: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The row that each id names, -1 where it names none; and where the column is null."""
    codes, values = _codes(column)
    found = np.array([*(rows.get(value, -1) for value in values), -1], np.int64)
    return found[codes], codes < 0


def _user_rows(pool: Pool, column: pa.Array, errors: _Errors) -> np.ndarray:
    row, missing = _lookup(column, pool.user_rows)
    errors.add(missing, lambda _: "user_id: expected an id, found none")
    return np.where(row < 0, len(pool.users) - 1, row)


def _asked(pool: Pool, columns: dict[str, pa.Array], errors: _Errors) -> _Queries:
    """An id that is known goes before a text; a text goes with the row's task, if it has one."""
    number = len(columns["user_id"])
    nothing = pa.nulls(number, pa.large_string())
    by_id, no_id = _lookup(columns.get("query_id", nothing), pool.query_rows)
    texts = columns.get("query", nothing)
    code, values = _codes(texts)
    has_text = np.array([*(bool(value) for value in values), False])[code]
    task, no_task = _lookup(columns.get("task_id", nothing), pool.task_rows)
    errors.add((by_id < 0) & ~has_text & no_id, lambda _: "query: expected a text or a query_id, found neither")
    errors.add(
        (by_id < 0) & ~has_text & ~no_id, lambda i: f"query_id: unknown id {columns['query_id'][i]}, and no text"
    )
    errors.add((task < 0) & ~no_task, lambda i: f"task_id: unknown id {columns['task_id'][i]}")
    task = np.where(by_id >= 0, -1, task)
    tasks = len(pool.task_rows) + 1
    # one number for each distinct thing asked: known queries first, then pairs of text and task
    key = np.where(by_id >= 0, by_id, len(pool.query_task) + code.astype(np.int64) * tasks + task + 1)
    key[errors.rows()] = -1
    distinct, place = sorted_distinct(key)
    known = distinct[(distinct >= 0) & (distinct < len(pool.query_task))]
    pair = distinct[distinct >= len(pool.query_task)] - len(pool.query_task)
    pairs = [(values[text], int(task) - 1) for text, task in zip(pair // tasks, pair % tasks, strict=True)]
    asked_task = np.concatenate([pool.query_task[known], np.array([t for _, t in pairs], np.int64)])
    asked = join(pool.scorer.recall(known), _asked_texts(pool, pairs)) if pairs else pool.scorer.recall(known)
    if len(distinct) and distinct[0] < 0:
        # what is wrong with a row is said elsewhere; here it stands for any query
        place = np.where(place > 0, place - 1, 0)
        if len(distinct) == 1:
            asked, asked_task = pool.scorer.recall(np.zeros(1, np.int64)), pool.query_task[:1]
    return _Queries(place, asked, pool.scale.unscale(asked.cost, asked_task))


def _asked_texts(pool: Pool, pairs: list[tuple[str, int]]) -> QueryBatch:
    """(text, task row) pairs, each foreseen once and remembered for a while."""
    new = [pair for pair in pairs if pair not in pool.remembered]
    found = {}
    if new:
        asked = pool.scorer.ask(pool.describe([text for text, _ in new], np.array([task for _, task in new])))
        nearness = asked.kernel if asked.kernel is not None else np.zeros((len(new), 0), np.float32)
        found = dict(zip(new, zip(asked.answers, asked.cost, nearness, strict=True), strict=True))
    rows = [found[pair] if pair in found else pool.remembered[pair] for pair in pairs]
    pool.remembered.update(found)
    while len(pool.remembered) > _TEXTS_REMEMBERED:
        pool.remembered.popitem(last=False)
    answers, cost, kernel = (np.stack(column) for column in zip(*rows, strict=True))
    return QueryBatch(answers, cost, kernel if kernel.shape[1] else None, np.zeros(len(pairs), bool))


def _offered(pool: Pool, column: pa.Array | None, errors: _Errors) -> np.ndarray:
    """bool [rows, llms]: the row's candidates, all where it names none."""
    number = errors.number
    if column is None:
        return np.ones((number, len(pool.llms)), bool)
    row = pc.list_parent_indices(column).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    names = pc.list_flatten(column)  # pyright: ignore[reportAttributeAccessIssue]
    llm, _ = _lookup(names, {name: i for i, name in enumerate(pool.llms)})
    unknown = np.zeros(number, bool)
    unknown[row[llm < 0]] = True
    errors.add(unknown, lambda i: f"candidates: unknown LLM in {column[i].as_py()}")
    offered = np.zeros((number, len(pool.llms)), bool)
    offered[row[llm >= 0], llm[llm >= 0]] = True
    free = column.is_null().to_numpy(zero_copy_only=False)
    errors.add(~free & ~offered.any(1), lambda _: "candidates: expected at least one LLM, found none")
    return offered | free[:, None]


def _within(asked: _Queries, constraints: Constraints, offered: np.ndarray, errors: _Errors) -> np.ndarray:
    """bool [rows, llms]: the LLMs that are allowed and not expected to cost too much."""
    within = np.ones_like(offered)
    if constraints.allow is not None:
        within &= constraints.allow
        errors.add(_nothing_left(offered, within), lambda _: "no candidate is among the allowed LLMs")
    if constraints.max_cost is not None:
        within &= (asked.cost <= constraints.max_cost)[asked.place]
        message = f"no candidate is expected to cost at most {constraints.max_cost:g} USD"
        errors.add(_nothing_left(offered, within), lambda _: message)
    return within


def _nothing_left(offered: np.ndarray, within: np.ndarray) -> np.ndarray:
    return np.logical_not(np.any(offered & within, axis=1))
