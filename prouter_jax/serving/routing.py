"""Vectorised routing: from Arrow columns of (user, query) pairs to picks, one chunk of rows at a time.

`Router` and the batch scorer use it. A bad row gets an error message and does not affect the other rows.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.distinct import sorted_distinct
from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.data.rewards import CostScale
from prouter_jax.data.tables.names import split_names
from prouter_jax.model.inference import Scorer
from prouter_jax.model.query_batch import QueryBatch, join
from prouter_jax.serving.batch.write import Scored

_CACHED_BYTES = 1 << 28  # of texts' features: 64,000 texts with 512 landmarks, and 10 LLMs of 54 features
_LONGEST_CACHED = 4096  # characters; the cache keeps the texts as well
_BASES = ("cold_start", "history")


@dataclasses.dataclass(frozen=True)
class Constraints:
    """Constraints on every pick.

    Attributes:
      max_cost: highest expected cost of an answer in USD; None for any cost.
      allow: the allowed LLMs, bool [llms]; None for all.
    """

    max_cost: float | None = None
    allow: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """The state of a router in the form that routing needs.

    Attributes:
      scorer: the trained network.
      temperature: factor that calibrates the logits.
      llms: names of the LLMs.
      users: user states, float32 [users + 1, properties]; the last row is a user without history.
      has_history: whether a user has history, bool [users + 1].
      user_rows, query_rows, task_rows: row of each id.
      query_task: task row of each known query, int [queries]; -1 for none.
      scale: scale of the costs.
      encode: features of new queries, from their texts and task rows (-1 for none).
      text_cache: (answers, cost, kernel, and the features) of recent texts by (text, task row), oldest first; these
        arrays take at most 256 MiB, whatever the number of known queries and LLMs. Long texts are not in it.
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
    encode: Callable[[Sequence[str], np.ndarray], QueryFeatures]
    text_cache: collections.OrderedDict = dataclasses.field(default_factory=collections.OrderedDict)


def ask(pool: Pool, pairs: Sequence[tuple[str, int]]) -> tuple[QueryBatch, QueryFeatures]:
    """Prepares queries by their texts and the rows of their tasks, -1 for none; from the cache where it has them.

    Returns:
      The queries, and their features.
    """
    new = [pair for pair in dict.fromkeys(pairs) if pair not in pool.text_cache]
    found = _compute(pool, new) if new else {}
    rows = [found[pair] if pair in found else pool.text_cache[pair] for pair in pairs]
    pool.text_cache.update({pair: row for pair, row in found.items() if len(pair[0]) <= _LONGEST_CACHED})
    size = sum(column.nbytes for column in rows[0])
    while len(pool.text_cache) * size > _CACHED_BYTES:
        pool.text_cache.popitem(last=False)
    answers, cost, kernel, *places = (np.stack(column) for column in zip(*rows, strict=True))
    batch = QueryBatch(answers, cost, kernel if kernel.shape[1] else None, np.zeros(len(pairs), bool))
    return batch, QueryFeatures(*places)


def features_of(pool: Pool, text: str, task: int) -> QueryFeatures:
    """Features of a query by its text and the row of its task, -1 for none; from the cache where it has them."""
    cached = pool.text_cache.get((text, task))
    if cached is not None:
        return QueryFeatures(*(column[None] for column in cached[3:]))
    return pool.encode([text], np.array([task]))


def expected_costs(pool: Pool, batch: QueryBatch, task: np.ndarray) -> np.ndarray:
    """Expected costs of the answers to queries in USD, [queries, llms].

    Args:
      task: row of each query's task, -1 for none, [queries].
    """
    return pool.scale.unscale(batch.cost, task)


def route(pool: Pool, columns: dict[str, pa.Array], constraints: Constraints) -> Scored:
    """Picks an LLM for each row of a chunk.

    Args:
      pool: the state of the router.
      columns: user_id and query or query_id, optionally task_id and candidates; null where empty.
      constraints: on every pick.

    Returns:
      The picks; a row with an error has a message and no pick.
    """
    errors = _Errors(len(columns["user_id"]))
    user = _user_rows(pool, columns["user_id"], errors)
    queries = _queries(pool, columns, errors)
    offered = _offered(pool, columns.get("candidates"), errors)
    offered &= _permitted(queries, constraints, offered, errors)
    logits = pool.temperature * pool.scorer.logits(pool.users, queries.batch, user, queries.row)
    errors.add(np.any(offered & ~np.isfinite(logits), axis=1), lambda _: "expected finite scores, found others")
    bad = errors.rows()
    llm, probabilities = _choose(logits, offered, bad)
    basis = _take_names(_BASES, pool.has_history[user].astype(np.int32), bad)
    return Scored(_take_names(pool.llms, llm, bad), pool.llms, probabilities, basis, errors.column())


def _choose(logits: np.ndarray, offered: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most probable candidate [rows] and probabilities [rows, llms]; NaN for other LLMs and in bad rows."""
    logits = np.where(offered, logits, -np.inf)
    logits[bad] = 0.0
    best = logits.argmax(1)
    logits -= np.take_along_axis(logits, best[:, None], 1)
    probabilities = np.exp(logits, out=logits)
    probabilities /= probabilities.sum(1, keepdims=True)
    probabilities[~offered] = np.nan
    probabilities[bad] = np.nan
    return best, probabilities


def _take_names(names: Sequence[str], rows: np.ndarray, bad: np.ndarray) -> pa.Array:
    """names[rows], null in bad rows."""
    return pa.array(names, pa.string()).take(pa.array(rows, mask=bad))


class _Errors:
    """The first error of each row."""

    def __init__(self, number: int):
        self.number = number
        self.messages: dict[int, str] = {}

    def add(self, bad: np.ndarray, message: Callable[[int], str]) -> None:
        """Records message(row) for each bad row without an error yet; `bad` is bool [rows]."""
        for row in np.flatnonzero(bad).tolist():
            if row not in self.messages:
                self.messages[row] = message(row)

    def rows(self) -> np.ndarray:
        """Whether each row has an error, bool [rows]."""
        bad = np.zeros(self.number, bool)
        bad[list(self.messages)] = True
        return bad

    def column(self) -> pa.Array:
        """The messages, null for rows without an error."""
        if not self.messages:
            return pa.nulls(self.number, pa.string())
        return pa.array([self.messages.get(row) for row in range(self.number)], pa.string())


def _codes(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Index of each cell into the distinct values, -1 for null; and the distinct values."""
    encoded = column.dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _lookup(column: pa.Array, rows: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The row of each id, -1 for an unknown one; and whether the cell is null."""
    codes, values = _codes(column)
    found = np.array([*(rows.get(value, -1) for value in values), -1], np.int64)
    return found[codes], codes < 0


def _user_rows(pool: Pool, column: pa.Array, errors: _Errors) -> np.ndarray:
    """The state row of each user; that of the user without history for an unknown id."""
    row, missing = _lookup(column, pool.user_rows)
    errors.add(missing, lambda _: "user_id: expected an id, found none")
    return np.where(row < 0, len(pool.users) - 1, row)


@dataclasses.dataclass(frozen=True)
class _Queries:
    """The distinct queries of a chunk: index of each row's query [rows], their features, expected cost in USD."""

    row: np.ndarray
    batch: QueryBatch
    cost: np.ndarray


def _queries(pool: Pool, columns: dict[str, pa.Array], errors: _Errors) -> _Queries:
    """Finds the distinct queries: by id if the router knows it, else by text and task."""
    by_id, code, values, task = _read_query_columns(pool, columns, errors)
    tasks, known_queries = len(pool.task_rows) + 1, len(pool.query_task)
    # one number for each distinct query: rows of known queries first, then pairs of text and task
    key = np.where(by_id >= 0, by_id, known_queries + code.astype(np.int64) * tasks + task + 1)
    key[errors.rows()] = -1
    distinct, row = sorted_distinct(key)
    known = distinct[(distinct >= 0) & (distinct < known_queries)]
    pair = distinct[distinct >= known_queries] - known_queries
    pairs = [(values[text], int(task) - 1) for text, task in zip(pair // tasks, pair % tasks, strict=True)]
    if len(distinct) and distinct[0] < 0:  # bad rows take any query: their picks are dropped later
        row = np.where(row > 0, row - 1, 0)
        if len(distinct) == 1:
            known = np.zeros(1, np.int64)
    batch = pool.scorer.recall(known)
    if pairs:
        batch = join(batch, ask(pool, pairs)[0])
    query_task = np.concatenate([pool.query_task[known], np.array([task for _, task in pairs], np.int64)])
    return _Queries(row, batch, expected_costs(pool, batch, query_task))


def _read_query_columns(pool: Pool, columns: dict[str, pa.Array], errors: _Errors):
    """Row of each query id (-1 for none), index of each text, the distinct texts, task row of each text."""
    nothing = pa.nulls(errors.number, pa.large_string())
    by_id, no_id = _lookup(columns.get("query_id", nothing), pool.query_rows)
    code, values = _codes(columns.get("query", nothing))
    has_text = np.array([*(bool(value) for value in values), False])[code]
    task, no_task = _lookup(columns.get("task_id", nothing), pool.task_rows)
    missing = (by_id < 0) & ~has_text
    errors.add(missing & no_id, lambda _: "query: expected a text or a query_id, found neither")
    errors.add(missing & ~no_id, lambda i: f"query_id: unknown id {columns['query_id'][i]}, and no text")
    errors.add((task < 0) & ~no_task, lambda i: f"task_id: unknown id {columns['task_id'][i]}")
    return by_id, code, values, np.where(by_id >= 0, -1, task)


def _compute(pool: Pool, pairs: list[tuple[str, int]]) -> dict[tuple[str, int], tuple[np.ndarray, ...]]:
    """The row of `Pool.text_cache` of each pair of text and task."""
    places = pool.encode([text for text, _ in pairs], np.array([task for _, task in pairs]))
    batch = pool.scorer.ask(places)
    kernel = batch.kernel if batch.kernel is not None else np.zeros((len(pairs), 0), np.float32)
    columns = (batch.answers, batch.cost, kernel, places.vectors, places.style, places.task)
    return dict(zip(pairs, zip(*columns, strict=True), strict=True))


def _offered(pool: Pool, column: pa.Array | None, errors: _Errors) -> np.ndarray:
    """The candidates of each row, bool [rows, llms]; all LLMs for a null cell.

    A list of one text that is no LLM is read as joined names.
    """
    number = errors.number
    if column is None:
        return np.ones((number, len(pool.llms)), bool)
    row = pc.list_parent_indices(column).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    names = pc.list_flatten(column)  # pyright: ignore[reportAttributeAccessIssue]
    llm, _ = _lookup(names, {name: i for i, name in enumerate(pool.llms)})
    offered = np.zeros((number, len(pool.llms)), bool)
    joined = np.flatnonzero((llm < 0) & (np.bincount(row, minlength=number)[row] == 1))
    texts = names.take(pa.array(joined)).dictionary_encode()
    listed = np.stack([_listed(pool, text) for text in [*texts.dictionary.to_pylist(), None]])
    offered[row[joined]] = listed[texts.indices.fill_null(-1).to_numpy()]
    unknown = np.zeros(number, bool)
    unknown[row[llm < 0]] = ~offered[row[llm < 0]].any(1)
    errors.add(unknown, lambda i: f"candidates: unknown LLM in {column[i].as_py()}")
    offered[row[llm >= 0], llm[llm >= 0]] = True
    unrestricted = column.is_null().to_numpy(zero_copy_only=False)
    errors.add(~unrestricted & ~offered.any(1), lambda _: "candidates: expected at least one LLM, found none")
    return offered | unrestricted[:, None]


def _listed(pool: Pool, text: str | None) -> np.ndarray:
    """The LLMs that a text lists, bool [llms]; none if it cannot be read."""
    found = "" if text is None else split_names(text, pool.llms)
    return np.isin(pool.llms, [] if isinstance(found, str) else found)


def _permitted(queries: _Queries, constraints: Constraints, offered: np.ndarray, errors: _Errors) -> np.ndarray:
    """The LLMs within the constraints, bool [rows, llms]; a row without any candidate left gets an error."""
    permitted = np.ones_like(offered)
    if constraints.allow is not None:
        permitted &= constraints.allow
        errors.add(_nothing_left(offered, permitted), lambda _: "no candidate is among the allowed LLMs")
    if constraints.max_cost is not None:
        permitted &= (queries.cost <= constraints.max_cost)[queries.row]
        message = f"no candidate is expected to cost at most {constraints.max_cost:g} USD"
        errors.add(_nothing_left(offered, permitted), lambda _: message)
    return permitted


def _nothing_left(offered: np.ndarray, permitted: np.ndarray) -> np.ndarray:
    return np.logical_not(np.any(offered & permitted, axis=1))
