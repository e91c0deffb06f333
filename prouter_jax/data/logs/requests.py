"""`Requests`: the usable rows of a log, and the reasons why other rows are dropped.

A dropped row is counted under the first of these reasons:

    not a JSON object                                    the line is no JSON object
    no user, no query, no model served                   the cell is missing, empty or not a text
    FIELD not readable                                   the cell is of the wrong kind: "high" for a cost, 0 for a thumb
    FIELD below 0                                        tokens, cost or latency
    propensity outside (0, 1]
    rating outside LOW:HIGH                              if the range of ratings is given
    served model not among the candidates

The candidates of a row without a list of candidates are all LLMs of the log. A row without thumb or rating is a
decision without feedback.
"""

import collections
import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.logs import cells

FIELDS = {
    "user": ("user", "user_id", "end_user", "customer"),
    "query": ("prompt", "query", "question", "input"),
    "messages": ("messages",),
    "task": ("task", "task_id"),
    "served": ("served", "model", "llm", "model_name"),
    "candidates": ("candidates", "on_offer", "models"),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cost": ("cost", "cost_usd", "response_cost", "spend"),
    "latency": ("latency", "latency_s"),
    "thumb": ("thumb", "thumbs", "feedback", "liked"),
    "rating": ("rating", "score", "stars"),
    "time": ("time", "timestamp", "created_at", "created"),
    "propensity": ("propensity", "probability"),
}
AMOUNTS = ("input_tokens", "output_tokens", "cost", "latency")


def parse_columns(named: str) -> dict[str, tuple[str, ...]]:
    """The columns of each field: the named one, else the defaults. In each row, the first column with a cell counts.

    Args:
      named: such as "user=customer_id,served=deployment".

    Raises:
      ValueError: if a part is not FIELD=COLUMN, or a field is not in `FIELDS` or occurs twice.
    """
    found = {}
    for part in filter(None, named.split(",")):
        field, sign, column = part.partition("=")
        if field not in FIELDS or not sign or not column or field in found:
            raise ValueError(f"columns: expected FIELD=COLUMN, each of {', '.join(FIELDS)} once, found {part!r}")
        found[field] = (column,)
    return FIELDS | found


def parse_range(text: str) -> tuple[float, float]:
    """Parses the lowest and highest rating from "LOW:HIGH".

    Raises:
      ValueError: if the text has another form, or LOW is not less than HIGH.
    """
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not found[0] < found[1] or not all(map(math.isfinite, found)):
        raise ValueError(f"rating_range: expected LOW:HIGH, two numbers that rise, found {text!r}")
    return found


MOST_LLMS = 1000
"""Largest number of LLMs in a log."""
_NUMBERS = (*AMOUNTS, "time", "propensity", "thumb", "rating")
_READ = {"messages": cells.questions, "thumb": cells.thumbs, "time": cells.times}


@dataclasses.dataclass(frozen=True)
class Requests:
    """Usable rows of a log.

    Attributes:
      user, query, task: texts [rows]; task is null if missing.
      llms: names of LLMs.
      served: int [rows], the LLM that answered, a row of `llms`.
      sets: bool [candidate sets, llms].
      offer: int [rows], the candidate set, -1 without a list of candidates.
      numbers: float64 [rows] by field: `AMOUNTS`, time and propensity, NaN if missing.
      reward: float64 [rows], 1 for thumb up, 0 for thumb down, or the rating; NaN without feedback.
      rated: bool [rows], whether the reward is a rating.
      scaled: whether ratings were scaled to [0, 1].
    """

    user: pa.Array
    query: pa.Array
    task: pa.Array
    llms: list[str]
    served: np.ndarray
    sets: np.ndarray
    offer: np.ndarray
    numbers: dict[str, np.ndarray]
    reward: np.ndarray
    rated: np.ndarray
    scaled: bool


class _Bad:
    """Which rows are dropped, and for what reason first."""

    def __init__(self, rows: int):
        self.rows, self.dropped = np.zeros(rows, bool), collections.Counter()

    def add(self, where: np.ndarray, reason: str) -> None:
        new = int((where & ~self.rows).sum())
        if new:
            self.dropped[reason] += new
            self.rows |= where


def read_requests(
    table: pa.Table, columns: dict[str, tuple[str, ...]], rating_range: tuple[float, float] | None
) -> tuple[Requests, collections.Counter]:
    """Selects and converts the usable rows.

    Args:
      table: from `reader.read_pieces`.
      columns: names of the columns of each field, see `parse_columns`.
      rating_range: lowest and highest rating, mapped to 0 and 1; None keeps ratings.

    Returns:
      The rows, and the numbers of dropped rows by reason.

    Raises:
      ValueError: if there are more than `MOST_LLMS` different LLMs.
    """
    bad = _Bad(table.num_rows)
    named = {field: _columns(table, names) for field, names in columns.items()}
    texts = _texts(named, bad)
    numbers = {field: _numbers(named[field], field, bad) for field in _NUMBERS}
    _check_numbers(numbers, rating_range, bad)
    offers = _candidates(named["candidates"], texts[-1], bad)
    return _select(np.flatnonzero(~bad.rows), texts, numbers, offers, rating_range), bad.dropped


def _select(
    kept: np.ndarray,
    texts: list[pa.Array],
    numbers: dict[str, np.ndarray],
    offers: tuple[np.ndarray, list[str], np.ndarray, np.ndarray],
    rating_range: tuple[float, float] | None,
) -> Requests:
    """The rows `kept`, with distinct candidate sets, and thumbs or ratings as rewards."""
    served, llms, member, listed = offers
    sets, offer = distinct_sets(member[kept])
    rated = ~np.isnan(numbers["rating"])
    low, high = rating_range or (0.0, 1.0)
    reward = np.where(rated, (numbers["rating"] - low) / (high - low), numbers["thumb"])
    return Requests(
        *(column.take(pa.array(kept)) for column in texts[:-1]),
        llms=llms,
        served=served[kept],
        sets=sets,
        offer=np.where(listed[kept], offer, -1),
        numbers={field: numbers[field][kept] for field in (*AMOUNTS, "time", "propensity")},
        reward=reward[kept],
        rated=rated[kept],
        scaled=rating_range is not None,
    )


def _columns(table: pa.Table, names: tuple[str, ...]) -> list[pa.Array]:
    return [_whole(table[name]) for name in names if name in table.column_names]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _texts(named: dict[str, list[pa.Array]], bad: _Bad) -> list[pa.Array]:
    """User, query (of a text, else of messages), task and served LLM."""
    found = {}
    for field in ("user", "query", "messages", "task", "served"):
        found[field] = pa.nulls(len(bad.rows), pa.large_string())
        for column in named[field]:
            values, odd = _READ.get(field, cells.texts)(column)
            if field == "task":
                bad.add(odd, f"{field} not readable")
            found[field] = pc.coalesce(found[field], values)  # pyright: ignore[reportAttributeAccessIssue]
    found["query"] = pc.coalesce(found["query"], found["messages"])  # pyright: ignore[reportAttributeAccessIssue]
    for field, reason in (("user", "no user"), ("query", "no query"), ("served", "no model served")):
        bad.add(found[field].is_null().to_numpy(zero_copy_only=False), reason)
    return [found[field] for field in ("user", "query", "task", "served")]


def _numbers(columns: list[pa.Array], field: str, bad: _Bad) -> np.ndarray:
    values = np.full(len(bad.rows), np.nan)
    for column in columns:
        some, odd = _READ.get(field, cells.amounts)(column)
        bad.add(odd, f"{field} not readable")
        values = np.where(np.isnan(values), some, values)
    return values


def _check_numbers(numbers: dict[str, np.ndarray], rating_range: tuple[float, float] | None, bad: _Bad) -> None:
    for field in AMOUNTS:
        bad.add(numbers[field] < 0, f"{field} below 0")
    propensity, rating = numbers["propensity"], numbers["rating"]
    bad.add((propensity <= 0) | (propensity > 1), "propensity outside (0, 1]")
    if rating_range:
        low, high = rating_range
        bad.add((rating < low) | (rating > high), f"rating outside {low:g}:{high:g}")


def _candidates(columns: list[pa.Array], served: pa.Array, bad: _Bad):
    """Served LLM of each row, names of LLMs, candidates bool [rows, llms], and bool [rows] of rows that list any."""
    lists = pa.nulls(len(served), pa.large_list(pa.large_string()))
    for column in columns:
        values, odd = cells.names(column)
        bad.add(odd, "candidates not readable")
        lists = pc.coalesce(lists, values)  # pyright: ignore[reportAttributeAccessIssue]
    encoded = pa.concat_arrays([served, lists.flatten()]).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    llms = encoded.dictionary.to_pylist()
    if len(llms) > MOST_LLMS:
        raise ValueError(f"log, column served: expected at most {MOST_LLMS} different LLMs, found {len(llms)}")
    own, others = codes[: len(served)], codes[len(served) :]
    member = np.zeros((len(served), len(llms)), bool)
    parent = lists.value_parent_indices().to_numpy()
    member[parent[others >= 0], others[others >= 0]] = True
    listed = lists.is_valid().to_numpy(zero_copy_only=False)
    if llms:
        bad.add(listed & ~member[np.arange(len(own)), own], "served model not among the candidates")
    return own, llms, member, listed
