"""Reads PersonaRoute-Bench (arXiv 2511.16883): a row for each user, query and LLM, with the best LLM of the query.

There are two variants: users with a performance_preference and the best_llm for it, or judges who mark the best_answer
with 1. The column best_llm is the name of the LLM, or its place 0, 1, ... among the rows of the user and query, as the
released script writes it (add_user_data_v1.py of github.com/ulab-uiuc/PersonalizedRouter; the column reward is checked
to be highest there). The published files have no marks for missing values.

The rows of a user and query are a decision among their LLMs, and the choice is the best LLM; several best LLMs share
it. The rows of a query and an LLM must agree on effect and cost; the first response counts. Nothing is dropped. Error
messages count the rows of each file. Each distinct text and vector is kept once.
"""

import array
import os
import pathlib
import re
from collections.abc import Generator, Sequence

import numpy as np
from jaxtyping import Bool, Int

from prouter_jax.data import interactions
from prouter_jax.data.distinct import distinct_sets, first_repeat, first_seen
from prouter_jax.data.interactions import Decisions, Feedback, Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.public.builder import RowIndex, named_llms
from prouter_jax.data.public.llm_file import read_llm_file
from prouter_jax.data.public.records import FileSet, ProgressCallback, PublicData, Record, column_names
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io.paths import make_path

_COLUMNS = (
    *("user_id", "task_id", "query", "query_embedding", "effect", "cost", "llm"),
    *("task_description", "task_description_embedding"),
)

_FILE = re.compile(r"router_user_(train|val|test)_data_(v\d+(?:_large)?)\.csv")
_PLACE = re.compile(r"\d{1,6}(?:\.0)?")
_PARTS = ("train", "val", "test")


def read_personaroute(
    path: str | os.PathLike | Sequence[str],
    llms_path: str | os.PathLike = "",
    on_progress: ProgressCallback | None = None,
) -> PublicData:
    """Reads one or several CSV files as one data set.

    Args:
      path: a file, a list of files, or a folder with files router_user_{train,val,test}_data_*.csv of one version.
      llms_path: a JSON file {name: {feature, input_price, output_price}} with prices in USD per million tokens; ""
        leaves the LLMs without description and prices.
      on_progress: see `FileSet`.

    Returns:
      Data whose queries (q0, q1, ... by first appearance) and tasks have embeddings. The candidates of a decision are
      the LLMs that have a row for it.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    store, files = _RowStore(), FileSet(_files(path), on_progress)
    for row in _read_rows(files):
        store.add(row)
    if not llms_path:
        return files.result(validate(_interactions(store, named_llms(list(store.llms)))))
    table = make_path(llms_path)
    files.paths += (table,)
    return files.result(validate(_interactions(store, read_llm_file(table)), {"llms": table.name}))


class _RowStore:
    """The content of the rows in compact form: each distinct text and vector once, and numbers by row.

    Attributes:
      users, tasks, queries, llms: the index of each user id, task id, (task index, query text) and LLM name.
      preferences: by user, the weight of quality in [0, 1], NaN if missing.
      descriptions, task_vectors: by task, the text and its embedding.
      query_vectors: by query, the embedding of its text.
      files: the first row and the name of each file.
      best_llms: the index of each name in the column best_llm; empty for data with best_answer.
      responses: the first answer by query and LLM index.
      user, query, llm: by row, the indices.
      best: by row, an index in `best_llms`, or the best_answer, 0 or 1.
      reward: by row, NaN if missing.
      effect, cost: by row, the quality in [0, 1] and the cost in USD.
    """

    def __init__(self):
        self.users, self.tasks, self.queries, self.llms = RowIndex(), RowIndex(), RowIndex(), RowIndex()
        self.preferences: list[float] = []
        self.descriptions: list[str] = []
        self.task_vectors: list[np.ndarray] = []
        self.query_vectors: list[np.ndarray] = []
        self.files: list[tuple[int, str]] = []
        self.best_llms = RowIndex()
        self.responses: dict[tuple[int, int], str] = {}
        self.user, self.query, self.llm, self.best = (array.array("i") for _ in range(4))
        self.effect, self.cost, self.reward = (array.array("d") for _ in range(3))

    def add(self, row: Record) -> None:
        """Adds a row.

        Raises:
          ValueError: if a cell is invalid, or differs from an earlier row of the same user or task.
        """
        if not row.number:
            self.files.append((len(self.user), row.file))
        self.user.append(self._user(row))
        self.query.append(self._query(row))
        self.llm.append(self.llms[row.text("llm")])
        self.best.append(self._best(row))
        answer = self.query[-1], self.llm[-1]
        if answer not in self.responses:
            self.responses[answer] = row.text_or_empty("response")
        self.effect.append(row.float("effect", 0, 1))
        self.cost.append(row.float("cost", 0))
        self.reward.append(row.float("reward"))

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
        """The index of the best LLM in `best_llms`, or the best_answer of this row."""
        if "best_llm" in row.cells:
            return self.best_llms[row.text("best_llm")]
        if row.cells["best_answer"] not in ("0", "1", "0.0", "1.0"):
            raise row.error("best_answer", "0 or 1", row.cells["best_answer"])
        return int(row.cells["best_answer"][0])

    def is_best(self, group: Int[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
        """Whether the LLM of each row is the best, or one of the best, for its user and query.

        Args:
          group: the number of the user and query of each row.
        """
        if not self.best_llms:
            return np.array(self.best, bool)
        if not all(_PLACE.fullmatch(name) for name in self.best_llms) or not set(self.llms).isdisjoint(self.best_llms):
            return np.array([self.llms.get(name, -1) for name in self.best_llms])[self.best] == self.llm
        order = np.argsort(group, kind="stable")
        start = np.maximum.accumulate(np.where(np.diff(group[order], prepend=-1) != 0, np.arange(len(order)), 0))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - start
        best = np.array([int(float(name)) for name in self.best_llms])[self.best] == place
        self._check_rewards(group, best)
        return best

    def _check_rewards(self, group: Int[np.ndarray, " rows"], best: Bool[np.ndarray, " rows"]) -> None:
        """Checks that the LLM at each place has the highest reward of its user and query, where rewards are given."""
        reward = np.nan_to_num(np.array(self.reward), nan=-np.inf)
        highest = np.full(int(group.max()) + 1, -np.inf)
        np.maximum.at(highest, group, reward)
        lower = best & (reward < highest[group] - 1e-6) & np.isfinite(reward)
        if lower.any():
            row = int(lower.argmax())
            expected = f"the place of the highest reward, {highest[group[row]]}"
            raise self.error(row, "best_llm", expected, reward[row])

    def error(self, row: int, column: str, expected: str, found) -> ValueError:
        """An error about a cell; `row` counts over all files, the message within its file."""
        first, file = [start for start in self.files if start[0] <= row][-1]
        return row_error(file, column, row - first, expected, found)


def _read_rows(files: FileSet) -> Generator[Record, None, None]:
    """The records of all files, which must have the same columns for the best LLM."""
    variant: tuple[str, ...] = ()
    for file in files.paths:
        names = column_names(file)
        judged = "best_answer" in names and "performance_preference" not in names
        found = ("best_answer",) if judged else ("performance_preference", "best_llm")
        if variant and variant != found:
            raise ValueError(f"table {file.name}, column {found[0]}: expected {variant[0]} as in the files before")
        variant = found
        yield from files.read(file, (*_COLUMNS, *found), ["response", "reward"])


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


def _interactions(store: _RowStore, llms: Llms) -> Interactions:
    row_of = {name: row for row, name in enumerate(llms.ids)}
    rows = np.array([row_of.get(name, -1) for name in store.llms], np.int32)[store.llm]
    if (rows < 0).any():
        row = int((rows < 0).argmax())
        raise store.error(row, "llm", "an LLM of the JSON file", list(store.llms)[store.llm[row]])
    tasks, task = interactions.strings(list(store.tasks)), np.array([task for task, _ in store.queries], np.int32)
    texts = interactions.strings([text for _, text in store.queries])
    ids = interactions.strings([f"q{number}" for number in range(len(texts))])
    decisions, offers, feedback = _decisions(store, rows, len(llms.ids))
    return Interactions(
        users=Users(interactions.strings(list(store.users)), np.array(store.preferences)),
        tasks=Tasks(tasks, interactions.strings(store.descriptions), np.stack(store.task_vectors)),
        queries=Queries(ids, texts, task, np.stack(store.query_vectors)),
        llms=llms,
        outcomes=_outcomes(store, rows, len(llms.ids)),
        offers=offers,
        decisions=decisions,
        feedback=feedback,
    )


def _outcomes(store: _RowStore, llm: np.ndarray, num_llms: int) -> Outcomes:
    """One outcome for each query and LLM; its rows must agree up to the rounding of printed numbers."""
    query = np.array(store.query)
    pair, first = first_seen(query.astype(np.int64) * num_llms + llm)
    for column in ("effect", "cost"):
        values = np.array(getattr(store, column))
        before = values[first][pair]
        same = np.isclose(values, before, rtol=1e-6, atol=1e-12, equal_nan=True)
        if not same.all():
            row = int((~same).argmax())
            raise store.error(row, column, f"{before[row]} as before for this query and LLM", values[row])
    missing = np.full(len(first), np.nan)
    effect, cost = np.array(store.effect)[first], np.array(store.cost)[first]
    texts = interactions.strings(list(store.responses.values()))  # in the order of `first`
    response = texts if (texts != "").any() else None
    return Outcomes(query[first], llm[first], effect, cost, missing, missing, response)


def _decisions(store: _RowStore, llm: np.ndarray, num_llms: int) -> tuple[Decisions, np.ndarray, Feedback]:
    user, query = np.array(store.user), np.array(store.query)
    group, first = first_seen(user.astype(np.int64) * len(store.queries) + query)
    best_rows = store.is_best(group)
    _check_groups(store, group, first, llm, best_rows)
    member = np.zeros((len(first), num_llms), bool)
    member[group, llm] = True
    offers, offer = distinct_sets(member)
    ids = interactions.strings([f"choice{number}" for number in range(len(first))])
    share = (1 / np.bincount(group[best_rows])[group[best_rows]]).astype(np.float32)
    kind = np.full(len(share), interactions.CHOICE, np.int8)
    no_llm = np.full(len(first), -1, np.int32)
    decisions = Decisions(ids, user[first], query[first], offer, np.full(len(first), np.nan), no_llm)
    return decisions, offers, Feedback(group[best_rows], kind, llm[best_rows], share)


def _check_groups(
    store: _RowStore, group: np.ndarray, first: np.ndarray, llm: np.ndarray, best_rows: np.ndarray
) -> None:
    """Checks that the rows of a user and query name each LLM once, and one best LLM among them."""
    row = first_repeat(group.astype(np.int64) * (llm.max() + 1) + llm)
    if row is not None:
        raise store.error(row, "llm", "each LLM once a user and query", list(store.llms)[store.llm[row]])
    best = np.array(store.best)
    differs = (best != best[first][group]) & bool(store.best_llms)
    if differs.any():
        row = int(differs.argmax())
        raise store.error(row, "best_llm", "the same in all rows of a user and query", list(store.best_llms)[best[row]])
    unanswered = np.bincount(group, best_rows) == 0
    if unanswered.any():
        row = int(first[unanswered.argmax()])
        column, found = ("best_llm", list(store.best_llms)[best[row]]) if store.best_llms else ("best_answer", None)
        raise store.error(row, column, "one of the LLMs that have a row for this user and query", found)
