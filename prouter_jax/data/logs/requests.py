"""`Requests`: the usable rows of a log, and the reasons why other rows are dropped.

A dropped row is counted under the first of these reasons:

    not a JSON object                                    the line is no JSON object
    another number of cells than the header has          the line of a CSV file
    text that is not UTF-8                               in a cell of a CSV file that would be read
    no user, no query, no model served                   the cell is missing or blank, or the last message has no text
    unnamed user, unnamed model                          the cell is a mark of none: "None", "null", "anonymous", {}
    FIELD not readable                                   the cell is of the wrong kind: "high" for a cost
    FIELD below 0                                        tokens, cost or latency
    FIELD too large                                      more than docs/data.md allows, or 10^9 seconds
    time is no date                                      while most times of the log are dates from 1998 to 2103
    propensity outside (0, 1]
    rating outside LOW:HIGH                              if the range of ratings is given
    served model not among the candidates

The candidates of a row without a list of candidates are all LLMs of the log. A row without thumb or rating is a
decision without feedback.
"""

import dataclasses
import math
import types
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data import cell_times, cells
from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.logs.messages import drop_blank, prompts, questions
from prouter_jax.data.logs.pieces import Columns, Piece
from prouter_jax.data.logs.ratings import Latencies, Ratings
from prouter_jax.data.logs.thumbs import Thumbs
from prouter_jax.data.logs.users import check_same, names, user_names
from prouter_jax.data.validation import MOST_RATING, MOST_TOKENS, MOST_USD

_MOST = {"input_tokens": MOST_TOKENS, "output_tokens": MOST_TOKENS, "cost": MOST_USD, "latency": 10**9}
AMOUNTS = tuple(_MOST)
MOST_LLMS = 1000
"""Largest number of LLMs in a log."""
_NUMBERS = (*AMOUNTS, "time", "propensity", "rating")


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


@dataclasses.dataclass(frozen=True)
class Requests:
    """Usable rows of a log.

    Attributes:
      user, query, task: texts [rows]; task is null if missing.
      llms: names of LLMs.
      served: int [rows], the LLM that answered, a row of `llms`.
      sets: bool [candidate sets, llms].
      offer: int [rows], the candidate set, -1 without a list of candidates.
      numbers: float64 [rows] by field: `AMOUNTS`, time, propensity and rating, NaN if missing.
      thumb: int16 [rows], code of the thumb (see `thumbs.Thumbs`), -1 if missing.
      file: number of the file (see `ratings.Latencies`).
    """

    user: pa.Array
    query: pa.Array
    task: pa.Array
    llms: list[str]
    served: np.ndarray
    sets: np.ndarray
    offer: np.ndarray
    numbers: dict[str, np.ndarray]
    thumb: np.ndarray
    file: int


class RequestReader:
    """Selects and converts the usable rows of the pieces of a log, and gathers how their columns are coded.

    Args:
      columns: names of the columns of each field.
      rating_range: lowest and highest rating; rows outside are dropped. None finds them at the end.
      units: by column, what a unit of it is in USD or seconds.

    Attributes:
      thumbs, ratings, latencies: the codings, complete after the last piece.
      time: how numbers of times are taken: "" before the first, "dates", or "numbers", of which the order counts.
      found: the columns with a cell so far, by field.
      names: all columns so far.
    """

    def __init__(
        self,
        columns: Columns,
        rating_range: tuple[float, float] | None = None,
        units: Mapping[str, float] = types.MappingProxyType({}),
    ):
        self.columns, self._range, self._units = columns, rating_range, units
        self.thumbs, self.ratings, self.latencies, self.time = Thumbs(), Ratings(), Latencies(), ""
        self.found: dict[str, dict[str, None]] = {field: {} for field in columns}
        self.names: set[str] = set()

    def read(self, piece: Piece) -> tuple[Requests, list[tuple[str, int, int]]]:
        """The usable rows of a piece.

        Returns:
          The rows, and each reason of dropped rows with their number and the number of the first one in the file.

        Raises:
          ValueError: if there are more than `MOST_LLMS` different LLMs, or the users of a row differ.
        """
        bad = _Bad(piece)
        self.names |= {*piece.names, *piece.table.column_names}
        named = {field: self._columns(piece, field) for field in self.columns}
        user, query, task, served = _texts(named, bad, piece)
        numbers = {field: self._numbers(named[field], field, bad) for field in _NUMBERS}
        thumb = self._thumbs(named["thumb"], piece.file, bad)
        self._check_numbers(numbers, bad)
        own, llms, member, listed = _candidates(named["candidates"], served, bad)
        self.ratings.add(numbers["rating"])
        kept = np.flatnonzero(~bad.rows)
        sets, offer = distinct_sets(member[kept])
        user, query, task = (column.take(pa.array(kept)) for column in (user, query, task))
        numbers = {field: values[kept] for field, values in numbers.items()}
        file = self.latencies.add(numbers["latency"], piece.file)
        offer = np.where(listed[kept], offer, -1)
        return Requests(user, query, task, llms, own[kept], sets, offer, numbers, thumb[kept], file), bad.reasons

    def _columns(self, piece: Piece, field: str) -> dict[str, pa.Array]:
        """The columns of a field that have cells, by name."""
        there = piece.table.column_names
        found = {name: cells.decoded(piece.table[name]) for name in self.columns[field] if name in there}
        found = {name: column for name, column in found.items() if column.null_count < len(column)}
        self.found[field] |= dict.fromkeys(found)
        return found

    def _numbers(self, columns: dict[str, pa.Array], field: str, bad: "_Bad") -> np.ndarray:
        values = np.full(len(bad.rows), np.nan)
        for name, column in columns.items():
            some, odd = cell_times.times(column) if field == "time" else cells.numbers(column)
            bad.add(odd, f"{field} not readable")
            unit = 1e-3 if field == "latency" and name.endswith("_ms") else self._units.get(name, 1.0)
            some = some * unit if unit != 1 else some
            values = np.where(np.isnan(values), some, values)
        return values

    def _thumbs(self, columns: dict[str, pa.Array], file: str, bad: "_Bad") -> np.ndarray:
        codes = np.full(len(bad.rows), -1, np.int16)
        for name, column in columns.items():
            some, odd = self.thumbs.read(column, name, file)
            bad.add(odd, "thumb not readable")
            codes = np.where(codes < 0, some, codes)
        return codes

    def _check_numbers(self, numbers: dict[str, np.ndarray], bad: "_Bad") -> None:
        for field in AMOUNTS:
            bad.add(numbers[field] < 0, f"{field} below 0")
            bad.add(numbers[field] > _MOST[field], f"{field} too large")
        bad.add(self._odd_times(np.where(bad.rows, np.nan, numbers["time"])), "time is no date")
        propensity, rating = numbers["propensity"], numbers["rating"]
        bad.add((propensity <= 0) | (propensity > 1), "propensity outside (0, 1]")
        bad.add(np.abs(rating) > MOST_RATING, "rating too large")
        if self._range:
            low, high = self._range
            bad.add((rating < low) | (rating > high), f"rating outside {low:g}:{high:g}")
        # a gateway that counts no tokens writes 0 for both
        uncounted = (numbers["input_tokens"] == 0) & (numbers["output_tokens"] == 0)
        for field in ("input_tokens", "output_tokens"):
            numbers[field] = np.where(uncounted, np.nan, numbers[field])

    def _odd_times(self, time: np.ndarray) -> np.ndarray:
        """Which times are no dates, if times are dates: as most of the first ones are."""
        low, high = cell_times.PLAUSIBLE
        dated, present = (time >= low) & (time < high), ~np.isnan(time)
        if not self.time and present.any():
            self.time = "dates" if 2 * dated.sum() >= present.sum() else "numbers"
        if self.time == "numbers" and dated.any():
            raise ValueError(
                "log, time: expected dates in all rows or in none, found first numbers that are no dates from 1998 to "
                "2103, then dates; convert these files by themselves, or set --columns=time="
            )
        return present & ~dated if self.time == "dates" else np.zeros(len(time), bool)


class _Bad:
    """Which rows of a piece are dropped, and for what reason first."""

    def __init__(self, piece: Piece):
        self.rows, self._number = np.zeros(len(piece.number), bool), piece.number
        self.reasons: list[tuple[str, int, int]] = []

    def add(self, where: np.ndarray, reason: str) -> None:
        new = where & ~self.rows
        if new.any():
            self.reasons.append((reason, int(new.sum()), int(self._number[new.argmax()])))
            self.rows |= where


def _texts(named: dict[str, dict[str, pa.Array]], bad: _Bad, piece: Piece) -> list[pa.Array]:
    """User, query (of a text, else of messages), task and served LLM."""
    found = {}
    for field, read in _READ.items():
        found[field] = pa.nulls(len(bad.rows), pa.large_string())
        columns = {name: read(column) for name, column in named[field].items()}
        if field == "user":
            check_same(
                {name: users for name, (users, _) in columns.items()},
                lambda row: piece.place(int(piece.number[row])),
            )
        for values, odd in columns.values():
            if field != "messages":
                bad.add(odd, f"{field} not readable")
            found[field] = pc.coalesce(found[field], values)  # pyright: ignore[reportAttributeAccessIssue]
    query = drop_blank(pc.coalesce(found["query"], found["messages"]))  # pyright: ignore[reportAttributeAccessIssue]
    for field, noun in (("user", "user"), ("served", "model")):
        missing = found[field].is_null().to_numpy(zero_copy_only=False)
        if missing.any():
            bad.add(missing & _is_marked(named[field], len(missing)), f"unnamed {noun}")
        bad.add(missing, "no user" if noun == "user" else "no model served")
    bad.add(query.is_null().to_numpy(zero_copy_only=False), "no query")
    return [found["user"], query, found["task"], found["served"]]


def _is_marked(columns: dict[str, pa.Array], rows: int) -> np.ndarray:
    """Rows that have a text, be it a mark of none."""
    marked = np.zeros(rows, bool)
    for column in columns.values():
        marked |= drop_blank(cells.texts(column)[0]).is_valid().to_numpy(zero_copy_only=False)
    return marked


def _candidates(columns: dict[str, pa.Array], served: pa.Array, bad: _Bad):
    """Served LLM of each row, names of LLMs, candidates bool [rows, llms], and bool [rows] of rows that list any."""
    lists, models = pa.nulls(len(served), pa.large_list(pa.large_string())), set(served.unique().to_pylist())
    for column in columns.values():
        values, odd = cells.name_lists(column, models)
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


_READ = {"user": user_names, "query": prompts, "messages": questions, "task": cells.texts, "served": names}
