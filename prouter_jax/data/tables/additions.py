"""Reads data that a trained router receives later: histories of users, and new or changed LLMs.

Both functions return the existing `Interactions` with the new rows after the old rows in every table, so that existing
row numbers stay valid. Embeddings of queries and tasks are dropped.
"""

import dataclasses
import os
import pathlib

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.interactions import Interactions, Queries, concatenate
from prouter_jax.data.leaks import drop_leaks
from prouter_jax.data.tables import feedback
from prouter_jax.data.tables.assemble import assemble
from prouter_jax.data.tables.columns import EXPECTED
from prouter_jax.data.tables.feedback import DecisionTables
from prouter_jax.data.tables.file_forms import require_format
from prouter_jax.data.tables.places import errors_have_places
from prouter_jax.data.tables.schema import load_folder, load_table
from prouter_jax.data.tables.table import AllowedIds, Table, TextColumn, missing_column
from prouter_jax.data.tables.usable import drop_unusable
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io.display import log_line
from prouter_jax.io.paths import files_below, make_path

_HISTORY = {
    "user_id": "id",
    "query_id": "id?",
    "query": "text?",
    "task_id": "id?",
    "llm": "id?",
    "rating": "number?",
    "thumb": "grade?",
    "llm_a": "id?",
    "llm_b": "id?",
    "winner": "text?",
    "candidates": "list?",
    "first": "id?",
    "time": "time?",
}
_FORMS = {"rating": "ratings", "thumb": "thumbs", "winner": "votes"}  # the form of a history by its column


def read_history(
    path: str | os.PathLike, base: Interactions, strict: bool = False, report: bool = True
) -> Interactions:
    """Reads choices, ratings, thumbs or votes of new or existing users.

    A column rating makes the rows ratings, thumb makes them thumbs and winner votes; otherwise they are choices. The
    columns are those of the tables in `schema.SCHEMAS`. The defaults for candidates are those of `read_tables`.

    A row names its query by query_id or gives its text in the column query. An id that `base` does not have is a new
    query and needs a text, and optionally a task_id. A text without an id is the query of `base` with this text, or
    else a new query with a generated id.

    Rows that cannot be used are dropped, see `usable`: one unknown LLM does not stop a file.

    Args:
      path: a file in one of the formats of `file_forms`.
      strict: whether the first row that cannot be used is an error.
      report: whether a line on stderr counts the dropped rows by reason.

    Returns:
      `base` with the new users, queries, decisions and feedback.

    Raises:
      ValueError: one line that names the file, column and row, what was expected and what was found.
    """
    path = make_path(path)
    require_format(path)
    with errors_have_places(lambda: [path]):
        return _read_history(path, base, strict, report)


def _read_history(path: pathlib.Path, base: Interactions, strict: bool, report: bool) -> Interactions:
    table = load_table(path, _HISTORY if strict else _HISTORY | {"user_id": "id?"})
    form = _form_of(table, strict)
    if not strict:
        table, dropped = drop_unusable(table, form, base)
        if dropped and report:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
            log_line(f"table {path.name}: rows left out: {reasons}; --strict stops at the first")
    ids, queries = _resolve_queries(table, base)
    rows = np.arange(table.num_rows)
    texts = table.texts | {"query_id": TextColumn(rows, pa.array(ids, pa.large_string()), rows)}
    tables = {form: dataclasses.replace(table, texts=texts)}
    new = assemble(tables, base.replace(queries=concatenate([base.queries, queries])))
    return _append(base, new, {"decisions": path.name, "feedback": path.name})


def read_llm_additions(folder: str | os.PathLike, base: Interactions) -> Interactions:
    """Reads new LLMs and data about them from a folder of tables.

    An LLM of `base` keeps its row; the family, description, prices and pool of the table replace its own, so that
    prices can be changed. Users, tasks and queries with a table in the folder must be new. The ids in other tables may
    refer to `base` or to the folder. Choices without candidates are among all LLMs, old and new.

    Args:
      folder: holds tables in the formats of `read_tables`, of which only llms is required. Files of embeddings are not
        read.

    Returns:
      `base` with the new rows.

    Raises:
      ValueError: one line that names the table (file), column and row, what was expected and what was found.
    """
    folder = make_path(folder)
    with errors_have_places(lambda: [folder / name for name in files_below(folder)]):
        tables = load_folder(folder, ("llms",))
        return _append(base, assemble(tables, base), {name: table.name for name, table in tables.items()})


def _form_of(table: Table, strict: bool) -> str:
    """The short form of feedback in a history; an error if the form lacks a column or, if `strict`, a cell."""
    given = [name for name in _FORMS if name in table.numbers or name in table.texts]
    if len(given) > 1:
        raise ValueError(f"table {table.name}: expected a column {given[0]} or a column {given[1]}, found both")
    form = _FORMS[given[0]] if given else "choices"
    for column in ("llm_a", "llm_b", *given) if form == "votes" else ("llm", *given):
        if column not in table.names:
            raise missing_column(table.name, column, table.names)
        if strict:
            _check_complete(table, column)
    return form


def _check_complete(table: Table, column: str) -> None:
    """Checks that a column has a value in every row."""
    missing = np.isnan(table.numbers[column]) if column in table.numbers else table.strings(column) == ""
    if missing.any():
        raise table.error(column, int(missing.argmax()), EXPECTED[_HISTORY[column].rstrip("?")], None)


def _append(base: Interactions, new: Interactions, names: dict[str, str]) -> Interactions:
    """Puts the outcomes and decisions of `base` before those of `new`, which has the users and LLMs of both."""
    new = drop_leaks(validate(new, names))
    _check_new_outcomes(base, new, names.get("outcomes", "outcomes"))
    num_llms = len(new.llms.ids)
    offers = np.zeros((len(base.offers), num_llms), bool)
    offers[:, : len(base.llms.ids)] = base.offers
    parts = [
        DecisionTables(offers, base.decisions, base.feedback),
        DecisionTables(new.offers, new.decisions, new.feedback),
    ]
    outcomes = concatenate([base.outcomes, new.outcomes])
    return validate(new.replace(outcomes=outcomes, **vars(feedback.concatenate(parts, num_llms))))


def _check_new_outcomes(base: Interactions, new: Interactions, table: str) -> None:
    """Checks that no new outcome is of a query and LLM that have one in `base`."""
    width = len(new.llms.ids)
    before, after = (data.outcomes.query.astype(np.int64) * width + data.outcomes.llm for data in (base, new))
    repeated = np.isin(after, before)
    if repeated.any():
        row = int(repeated.argmax())
        found = f"{new.queries.ids[new.outcomes.query[row]]}, {new.llms.ids[new.outcomes.llm[row]]}"
        raise row_error(table, "query_id and llm", row, "a pair without an outcome", found)


def _resolve_queries(table: Table, base: Interactions) -> tuple[np.ndarray, Queries]:
    """The query_id of each row, generated if there is none, and the new queries by first appearance."""
    ids, texts = _query_ids(table, base.queries), table.strings("query")
    task = np.full(table.num_rows, -1, np.int32)
    if "task_id" in table.texts:
        task = table.find_ids("task_id", AllowedIds(base.tasks.ids, "a task_id of the router, or none"))
    existing = set(base.queries.ids)
    new = np.flatnonzero([id_ not in existing for id_ in ids])
    group, first = first_seen(ids[new])
    first = new[first]
    for column, values in (("query", texts), ("task_id", table.strings("task_id"))):
        same = values[new] == values[first][group]
        if not same.all():
            bad = int(same.argmin())
            expected = f"what row {first[group[bad]]} of the same query has"
            raise table.error(column, new[bad], expected, values[new][bad] or None)
    return ids, Queries(ids[first], texts[first], task[first])


def _query_ids(table: Table, existing: Queries) -> Shaped[np.ndarray, " rows"]:
    """The query_id of each row. A text without an id gets the id of an equal text, or else a new id."""
    ids, texts = table.strings("query_id").copy(), table.strings("query")
    existing_ids = set(existing.ids)
    id_of = dict(zip(existing.texts[::-1], existing.ids[::-1], strict=True))  # of equal texts, the first wins
    for row, (id_, text) in enumerate(zip(ids, texts, strict=True)):
        if not text and id_ not in existing_ids:
            raise table.error("query_id", row, "a query_id of the router, or a text in query", id_ or None)
        if id_ and id_ not in existing_ids:
            id_of.setdefault(text, id_)
    without_id = np.flatnonzero(ids == "")
    new_texts = dict.fromkeys(text for text in texts[without_id] if text not in id_of)
    new_ids = feedback.unused_ids("query", len(new_texts), np.append(existing.ids, ids))
    id_of.update(zip(new_texts, new_ids, strict=True))
    ids[without_id] = [id_of[text] for text in texts[without_id]]
    return ids
