"""The counts of a converted log, and its summary: what was kept, how columns were read, what was dropped."""

import dataclasses
import datetime

import numpy as np

from prouter_jax.data.cell_times import PLAUSIBLE
from prouter_jax.data.logs.pieces import Piece
from prouter_jax.data.logs.requests import RequestReader, Requests
from prouter_jax.data.logs.thumbs import DOWN, UP, Coding
from prouter_jax.data.logs.users import UserCounts
from prouter_jax.io.display import markdown_table

_EXAMPLES, _LONGEST = 3, 32  # rows, and characters of a cell
_TOTALS = ("cost", "input_tokens", "output_tokens")


@dataclasses.dataclass
class Counts:
    """Counts of a conversion.

    Attributes:
      rows: rows of the files.
      kept: rows that became decisions.
      judged: decisions with a thumb or rating.
      told: decisions with a propensity.
      queries, llms, users: numbers of distinct ones.
      most_of_a_user: rows of the user with the most.
      up, down, rated: decisions with a thumb up, a thumb down, a rating.
      totals: sums of cost, input_tokens and output_tokens.
      measured: decisions with a value of each of these.
      time: earliest and latest, None without times.
      dropped: rows that are no decisions, by reason (see `requests`).
      first_dropped: the place of the first of these.
      left_out: thumbs without a meaning, by value; their decisions are kept without feedback.
      columns: the columns of each field that were found.
      coding: how thumbs, ratings, times and latencies were read, in words.
      users_hashed: whether ids of users are hashes under a key of the caller.
      masked: decisions in which a secret or an address was masked, by field; None if nothing was looked for.
    """

    rows: int = 0
    kept: int = 0
    judged: int = 0
    told: int = 0
    queries: int = 0
    llms: int = 0
    users: int = 0
    most_of_a_user: int = 0
    up: int = 0
    down: int = 0
    rated: int = 0
    totals: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(_TOTALS, 0.0))
    measured: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))
    time: tuple[float, float] | None = None
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    first_dropped: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    columns: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    coding: dict[str, str] = dataclasses.field(default_factory=dict)
    users_hashed: bool = False
    masked: dict[str, int] | None = None

    def drop(self, reason: str, number: int, place: str) -> None:
        """Counts dropped rows."""
        self.rows += number
        self.dropped[reason] = self.dropped.get(reason, 0) + number
        self.first_dropped.setdefault(reason, place)


class Summary:
    """Gathers the counts and a few examples of the rows that are kept.

    Attributes:
      counts: complete after `finish`.
      users: the users so far.
    """

    def __init__(self, counts: Counts):
        self.counts, self.users = counts, UserCounts()
        self._codes = np.zeros(0, np.int64)  # unrated rows by the code of their thumb; the first one is for no thumb
        self._examples: list[dict[str, object]] = []
        self._llms: set[str] = set()

    def add(
        self, requests: Requests, piece: Piece, reasons: list[tuple[str, int, int]], masked: dict[str, int]
    ) -> None:
        """Adds the rows of a piece that are kept, and the reasons of those that are dropped."""
        counts, numbers = self.counts, requests.numbers
        kept = len(requests.served)
        counts.rows += kept
        counts.kept += kept
        for reason, number, first in reasons:
            counts.drop(reason, number, piece.place(first))
        counts.told += int((~np.isnan(numbers["propensity"])).sum())
        rated = ~np.isnan(numbers["rating"])
        counts.rated += int(rated.sum())
        codes = np.bincount(requests.thumb[~rated] + 1)
        self._codes = _add_padded(self._codes, codes)
        for name in _TOTALS:
            counts.totals[name] += float(np.nansum(numbers[name]))
            counts.measured[name] += int((~np.isnan(numbers[name])).sum())
        counts.time = _widen(counts.time, numbers["time"])
        counts.masked = counts.masked and {name: number + masked[name] for name, number in counts.masked.items()}
        if kept:
            self.users.add(requests.user)
        self._llms |= {requests.llms[llm] for llm in np.union1d(np.flatnonzero(requests.sets.any(0)), requests.served)}
        self._add_examples(requests)

    def finish(self, coding: Coding, reader: RequestReader, rating_range: tuple[float, float]) -> Counts:
        """Completes the counts with the codings of the columns."""
        counts = self.counts
        meaning = np.append(np.nan, coding.meaning)[: len(self._codes)]
        counts.up, counts.down = (int(self._codes[meaning == side].sum()) for side in (UP, DOWN))
        counts.judged = counts.up + counts.down + counts.rated
        counts.users, counts.most_of_a_user, counts.llms = self.users.users, self.users.first()[1], len(self._llms)
        counts.columns = {field: list(names) for field, names in reader.found.items() if names}
        counts.left_out = coding.unreadable
        counts.coding = {"thumb": coding.text, "latency": reader.latencies.text()}
        if counts.rated:
            counts.coding["rating"] = "{:g} is 0, {:g} is 1".format(*rating_range)
        if counts.time and reader.time == "numbers":
            counts.coding["time"] = "numbers that are no dates; their order counts"
        counts.coding = {field: text for field, text in counts.coding.items() if text}
        return counts

    def example_table(self, thumbs: list[str]) -> str:
        """The columns and a few rows, in Markdown.

        Args:
          thumbs: the thumb with each code.
        """
        rows = []
        for field, columns in self.counts.columns.items():
            values = [row.get("query" if field == "messages" else field) for row in self._examples]
            if field == "thumb":
                values = [thumbs[code] if isinstance(code, int) else None for code in values]
            shown = [_shown(value) for value in values]
            rows.append([field, ", ".join(columns), *shown])
        return markdown_table(("field", "column", *(f"row {row + 1}" for row in range(len(self._examples)))), rows)

    def _add_examples(self, requests: Requests) -> None:
        for row in range(min(len(requests.served), _EXAMPLES - len(self._examples))):
            texts = {name: getattr(requests, name)[row].as_py() for name in ("user", "query", "task")}
            numbers = {name: float(values[row]) for name, values in requests.numbers.items()}
            offer = requests.offer[row]
            listed = [requests.llms[llm] for llm in np.flatnonzero(requests.sets[offer])] if offer >= 0 else None
            code = int(requests.thumb[row])
            found = {"served": requests.llms[requests.served[row]], "candidates": listed and "|".join(listed)}
            self._examples.append({**texts, **numbers, **found, "thumb": code if code >= 0 else None})


def summary_lines(counts: Counts) -> list[str]:
    """The summary of a conversion, a line for each fact."""
    most = f", the most active one in {counts.most_of_a_user / counts.kept:.0%} of the rows" if counts.users > 1 else ""
    of = f"{counts.queries:,} queries, {counts.users:,} users{most} and {counts.llms} LLMs"
    lines = [
        f"{counts.rows:,} rows read, {counts.kept:,} kept, of {of}",
        f"{counts.judged:,} with a thumb or rating, {counts.told:,} with a propensity",
        "columns: " + "; ".join(f"{field} from {', '.join(names)}" for field, names in counts.columns.items()),
    ]
    if counts.up or counts.down or "thumb" in counts.coding:
        lines.append(f"thumbs: {counts.up:,} up, {counts.down:,} down; {counts.coding.get('thumb', '')}")
    if counts.rated:
        lines.append(f"ratings: {counts.rated:,}; {counts.coding['rating']}")
    if any(counts.measured.values()):
        cost, asked, answered = (f"{counts.totals[name]:,.6g}" if counts.measured[name] else "none" for name in _TOTALS)
        lines.append(
            f"cost: {cost} USD in {counts.measured['cost']:,} rows; tokens: {asked} in, {answered} out, "
            f"in {counts.measured['output_tokens']:,} rows"
        )
    if counts.time:
        lines.append(f"time: {' to '.join(map(_moment, counts.time))}{_behind(counts.coding.get('time'))}")
    if "latency" in counts.coding:
        lines.append(f"latency: {counts.coding['latency']}")
    for reason, number in sorted(counts.dropped.items(), key=lambda item: -item[1]):
        lines.append(f"dropped, {reason}: {number:,} (first: {counts.first_dropped[reason]})")
    lines += [f"thumb left out, {value!r} is not readable: {number:,}" for value, number in counts.left_out.items()]
    return lines + [f"masked, {field}: {number:,}" for field, number in (counts.masked or {}).items() if number]


def _add_padded(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    size = max(len(one), len(other))
    return np.pad(one, (0, size - len(one))) + np.pad(other, (0, size - len(other)))


def _widen(known: tuple[float, float] | None, times: np.ndarray) -> tuple[float, float] | None:
    times = times[~np.isnan(times)]
    if not len(times):
        return known
    low, high = known or (np.inf, -np.inf)
    return min(low, float(times.min())), max(high, float(times.max()))


def _moment(seconds: float) -> str:
    low, high = PLAUSIBLE
    if not low <= seconds < high:
        return f"{seconds:.15g}"
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def _behind(text: str | None) -> str:
    return f", {text}" if text else " UTC"


def _shown(value) -> str:
    if value is None or value != value:
        return ""
    text = f"{value:.12g}" if isinstance(value, float) else " ".join(str(value).split())
    text = text.replace("|", "/")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
