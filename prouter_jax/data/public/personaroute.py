"""Reads PersonaRoute-Bench (arXiv 2511.16883): a row for each user, query and LLM, with the best LLM of the query.

There are two variants: users with a performance_preference and the best_llm for it, or judges who mark the best_answer
with 1. The rows of a user and query are a decision among their LLMs, and the choice is the best LLM; several best LLMs
share it. The rows of a query and an LLM must agree on effect and cost; the first response counts. Nothing is dropped.
Error messages count the rows of each file.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.distinct import distinct_sets, first_repeat, first_seen
from prouter_jax.data.interactions import Decisions, Feedback, Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.public.builder import named_llms
from prouter_jax.data.public.personaroute_rows import RowStore, read_rows
from prouter_jax.data.public.records import FileSet, ProgressCallback, PublicData
from prouter_jax.data.tables.files import unique_keys
from prouter_jax.data.tables.parquet import is_utf8, one_line
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io.paths import make_path, require_file

_FILE = re.compile(r"router_user_(train|val|test)_data_(v\d+(?:_large)?)\.csv")
_PRICES = ("input_price", "output_price")
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
    store, files = RowStore(), FileSet(_files(path), on_progress)
    for row in read_rows(files):
        store.add(row)
    if not llms_path:
        return files.result(validate(_interactions(store, named_llms(list(store.llms)))))
    table = make_path(llms_path)
    files.paths += (table,)
    return files.result(validate(_interactions(store, _read_llms(table)), {"llms": table.name}))


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


def _read_llms(path: pathlib.Path) -> Llms:
    """The LLMs of a JSON file in its order."""
    prefix = f"table {path.name}: expected JSON {{name: {{feature, ...}}}}, found"
    require_file(path)
    try:
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{prefix} {one_line(error)}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError(f"{prefix} something else")
    for name in entries:
        if not is_utf8(name):
            raise ValueError(f"{prefix} the name {name!a}")
    fields = [_checked(path.name, row, entry) for row, entry in enumerate(entries.values())]
    prices = {
        name: np.array([np.nan if entry[name] is None else entry[name] for entry in fields], float) for name in _PRICES
    }
    features = interactions.strings([entry["feature"] for entry in fields])
    return dataclasses.replace(named_llms(list(entries)), descriptions=features, **prices)


def _checked(file: str, row: int, entry: dict) -> dict:
    """The entry of an LLM with defaults for absent keys."""
    entry = {"feature": "", **dict.fromkeys(_PRICES)} | entry
    if not isinstance(entry["feature"], str) or not is_utf8(entry["feature"]):
        raise row_error(file, "feature", row, "a text", entry["feature"])
    for name in _PRICES:
        price = entry[name]
        if price is not None and (type(price) not in (int, float) or not 0 <= price < 1e300):
            raise row_error(file, name, row, "a finite number >= 0", price)
    return entry


def _interactions(store: RowStore, llms: Llms) -> Interactions:
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


def _outcomes(store: RowStore, llm: np.ndarray, num_llms: int) -> Outcomes:
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


def _decisions(store: RowStore, llm: np.ndarray, num_llms: int) -> tuple[Decisions, np.ndarray, Feedback]:
    user, query = np.array(store.user), np.array(store.query)
    group, first = first_seen(user.astype(np.int64) * len(store.queries) + query)
    best_rows = store.is_best()
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
    store: RowStore, group: np.ndarray, first: np.ndarray, llm: np.ndarray, best_rows: np.ndarray
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
