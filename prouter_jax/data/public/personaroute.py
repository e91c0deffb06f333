"""PersonaRoute-Bench (arXiv 2511.16883): a row for each user, query and LLM, with the best LLM of the query.

Two variants: users with a performance_preference and the best_llm for it, or judges who mark the best_answer with 1.
The rows of a user and query are a decision among their LLMs; the best one, or ones, has the choice. Rows of a query and
an LLM must agree on effect and cost; the first response counts. Nothing is dropped. Complaints count rows by file.
"""

import array
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Generator, Sequence

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.distinct import distinct_sets, first_repeat, first_seen
from prouter_jax.data.interactions import Decisions, Feedback, Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.public.builder import Names
from prouter_jax.data.public.records import FileSet, OnProgress, Read, Record, header
from prouter_jax.data.tables.json_elements import unique_keys
from prouter_jax.data.tables.parquet import is_utf8, one_line
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io.paths import make_path

_COLUMNS = (
    *("user_id", "task_id", "query", "query_embedding", "effect", "cost", "llm"),
    *("task_description", "task_description_embedding"),
)


class Stream:
    """What is kept of the rows: distinct texts with their vectors, and numbers by row."""

    def __init__(self):
        self.users, self.tasks, self.queries, self.llms = Names(), Names(), Names(), Names()
        self.preferences: list[float] = []
        self.descriptions: list[str] = []
        self.task_vectors: list[np.ndarray] = []
        self.query_vectors: list[np.ndarray] = []
        self.files: list[tuple[int, str]] = []
        self.best_llms = Names()
        self.responses: dict[tuple[int, int], str] = {}
        self.user, self.query, self.llm, self.best = (array.array("i") for _ in range(4))
        self.effect, self.cost = array.array("d"), array.array("d")

    def add(self, row: Record) -> None:
        if not row.number:
            self.files.append((len(self.user), row.file))
        self.user.append(self._user(row))
        self.query.append(self._query(row))
        self.llm.append(self.llms[row.text("llm")])
        self.best.append(self._best(row))
        self._keep_response(row, self.query[-1], self.llm[-1])
        self.effect.append(row.float("effect", 0, 1))
        self.cost.append(row.float("cost", 0))

    def _keep_response(self, row: Record, query: int, llm: int) -> None:
        if (query, llm) not in self.responses:
            self.responses[query, llm] = row.text_or_none("response")

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
        """A number for the LLM named best; of a judge, 0 or 1 for this row's LLM."""
        if "best_llm" in row.cells:
            return self.best_llms[row.text("best_llm")]
        if row.cells["best_answer"] not in ("0", "1", "0.0", "1.0"):
            raise row.error("best_answer", "0 or 1", row.cells["best_answer"])
        return int(row.cells["best_answer"][0])

    def liked(self) -> np.ndarray:
        """bool [rows]: the row's LLM is the best, or one of them, of its user and query."""
        if not self.best_llms:
            return np.array(self.best, bool)
        return np.array([self.llms.get(name, -1) for name in self.best_llms])[self.best] == self.llm

    def error(self, row: int, column: str, expected: str, found) -> ValueError:
        first, file = [place for place in self.files if place[0] <= row][-1]
        return row_error(file, column, row - first, expected, found)


def read_rows(files: FileSet) -> Generator[Record, None, None]:
    """The records of all files, each with the columns that are needed; all files are of one variant."""
    variant: tuple[str, ...] = ()
    for file in files.paths:
        found = _variant(header(file))
        if variant and variant != found:
            raise ValueError(f"table {file.name}, column {found[0]}: expected {variant[0]} as in the files before")
        variant = found
        yield from files.read(file, (*_COLUMNS, *found), ["response"])


def _variant(names: list[str]) -> tuple[str, ...]:
    judged = "best_answer" in names and "performance_preference" not in names
    return ("best_answer",) if judged else ("performance_preference", "best_llm")


_FILE = re.compile(r"router_user_(train|val|test)_data_(v\d+(?:_large)?)\.csv")
_PRICES = ("input_price", "output_price")
_PARTS = ("train", "val", "test")


def read_personaroute(
    path: str | os.PathLike | Sequence[str], llms_path: str | os.PathLike = "", on_progress: OnProgress | None = None
) -> Read:
    """Reads one CSV, several as one data set, or a folder of router_user_{train,val,test}_data_*.csv.

    Args:
      path: a file, a folder with the files of one variant and size, or a list of files.
      llms_path: JSON {name: {feature, input_price, output_price}}, prices in USD per million tokens; without
        it the LLMs have names only.

    Returns:
      data whose queries (q0, q1, ... by first appearance) and tasks have vectors. The candidates of a
      decision are the LLMs that have a row for it.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    stream, files = Stream(), FileSet(_files(path), on_progress)
    for row in read_rows(files):
        stream.add(row)
    if not llms_path:
        return files.result(validate(_interactions(stream, _named_llms(list(stream.llms)))))
    table = make_path(llms_path)
    files.paths += (table,)
    return files.result(validate(_interactions(stream, _read_llms(table)), {"llms": table.name}))


def _files(path: str | os.PathLike | Sequence[str]) -> list[pathlib.Path]:
    if not isinstance(path, str | os.PathLike):
        return [make_path(file) for file in path]
    path = make_path(path)
    if not path.is_dir():
        return [path]
    matches = {file: match for file in sorted(path.iterdir()) if (match := _FILE.fullmatch(file.name))}
    variants = sorted({match[2] for match in matches.values()})
    if len(variants) != 1:
        found = ", ".join(variants) or "none"
        raise ValueError(
            f"folder {path}: expected router_user_{{train,val,test}}_data files of one kind, found {found}"
        )
    return sorted(matches, key=lambda file: _PARTS.index(matches[file][1]))


def _named_llms(names: list[str]) -> Llms:
    """LLMs of which nothing but the name is known."""
    nothing, unknown = interactions.strings([""] * len(names)), np.full(len(names), np.nan)
    return Llms(interactions.strings(names), nothing, nothing, unknown, unknown, nothing)


def _read_llms(path: pathlib.Path) -> Llms:
    """The LLM table of a JSON file; row i is its i-th LLM."""
    expected = f"table {path.name}: expected JSON {{name: {{feature, ...}}}}, found"
    try:
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{expected} {one_line(error)}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError(f"{expected} something else")
    for name in entries:
        if not is_utf8(name):
            raise ValueError(f"{expected} the name {name!a}")
    fields = [_checked(path.name, row, entry) for row, entry in enumerate(entries.values())]
    prices = {
        name: np.array([np.nan if entry[name] is None else entry[name] for entry in fields], float) for name in _PRICES
    }
    features = interactions.strings([entry["feature"] for entry in fields])
    return dataclasses.replace(_named_llms(list(entries)), descriptions=features, **prices)


def _checked(file: str, row: int, entry: dict) -> dict:
    entry = {"feature": "", **dict.fromkeys(_PRICES)} | entry
    if not isinstance(entry["feature"], str) or not is_utf8(entry["feature"]):
        raise row_error(file, "feature", row, "a text", entry["feature"])
    for name in _PRICES:
        price = entry[name]
        if price is not None and (type(price) not in (int, float) or not 0 <= price < 1e300):
            raise row_error(file, name, row, "a finite number >= 0", price)
    return entry


def _interactions(stream: Stream, llms: Llms) -> Interactions:
    place = {name: row for row, name in enumerate(llms.ids)}
    rows = np.array([place.get(name, -1) for name in stream.llms], np.int32)[stream.llm]
    if (rows < 0).any():
        row = int((rows < 0).argmax())
        raise stream.error(row, "llm", "an LLM of the JSON file", list(stream.llms)[stream.llm[row]])
    task = np.array([task for task, _ in stream.queries], np.int32)
    texts = interactions.strings([text for _, text in stream.queries])
    ids = interactions.strings([f"q{number}" for number in range(len(texts))])
    decisions, offers, feedback = _decisions(stream, rows, len(llms.ids))
    return Interactions(
        users=Users(interactions.strings(list(stream.users)), np.array(stream.preferences)),
        tasks=Tasks(
            interactions.strings(list(stream.tasks)),
            interactions.strings(stream.descriptions),
            np.stack(stream.task_vectors),
        ),
        queries=Queries(ids, texts, task, np.stack(stream.query_vectors)),
        llms=llms,
        outcomes=_outcomes(stream, rows, len(llms.ids)),
        offers=offers,
        decisions=decisions,
        feedback=feedback,
    )


def _outcomes(stream: Stream, llm: np.ndarray, num_llms: int) -> Outcomes:
    """Each query and LLM once; users must agree on what came of it, up to what printing a number loses."""
    query = np.array(stream.query)
    pair, first = first_seen(query.astype(np.int64) * num_llms + llm)
    for column in ("effect", "cost"):
        values = np.array(getattr(stream, column))
        before = values[first][pair]
        same = np.isclose(values, before, rtol=1e-6, atol=1e-12, equal_nan=True)
        if not same.all():
            row = int((~same).argmax())
            raise stream.error(row, column, f"{before[row]} as before for this query and LLM", values[row])
    unknown = np.full(len(first), np.nan)
    effect, cost = np.array(stream.effect)[first], np.array(stream.cost)[first]
    texts = interactions.strings(list(stream.responses.values()))  # kept by first appearance as well
    response = texts if (texts != "").any() else None
    return Outcomes(query[first], llm[first], effect, cost, unknown, unknown, response)


def _decisions(stream: Stream, llm: np.ndarray, num_llms: int) -> tuple[Decisions, np.ndarray, Feedback]:
    user, query = np.array(stream.user), np.array(stream.query)
    group, first = first_seen(user.astype(np.int64) * len(stream.queries) + query)
    liked = stream.liked()
    _check_groups(stream, group, first, llm, liked)
    member = np.zeros((len(first), num_llms), bool)
    member[group, llm] = True
    offers, offer = distinct_sets(member)
    ids = interactions.strings([f"choice{number}" for number in range(len(first))])
    share = (1 / np.bincount(group[liked])[group[liked]]).astype(np.float32)
    kind = np.full(len(share), interactions.CHOICE, np.int8)
    unknown = np.full(len(first), -1, np.int32)
    decisions = Decisions(ids, user[first], query[first], offer, np.full(len(first), np.nan), unknown)
    return decisions, offers, Feedback(group[liked], kind, llm[liked], share)


def _check_groups(stream: Stream, group: np.ndarray, first: np.ndarray, llm: np.ndarray, liked: np.ndarray) -> None:
    """Each LLM once a user and query, and the best one among them."""
    row = first_repeat(group.astype(np.int64) * (llm.max() + 1) + llm)
    if row is not None:
        raise stream.error(row, "llm", "each LLM once a user and query", list(stream.llms)[stream.llm[row]])
    best = np.array(stream.best)
    differs = (best != best[first][group]) & bool(stream.best_llms)
    if differs.any():
        row = int(differs.argmax())
        raise stream.error(
            row, "best_llm", "the same in all rows of a user and query", list(stream.best_llms)[best[row]]
        )
    unanswered = np.bincount(group, liked) == 0
    if unanswered.any():
        row = int(first[unanswered.argmax()])
        column, found = ("best_llm", list(stream.best_llms)[best[row]]) if stream.best_llms else ("best_answer", None)
        raise stream.error(row, column, "one of the LLMs that have a row for this user and query", found)
