"""What is brought to a trained router at scoring time: users' histories, and new LLMs with what is known of them.

Both functions return the `Interactions` they are given with new rows behind the old ones in every table, so
that what is new is what lies beyond the old lengths. Vectors of queries and tasks are dropped.
"""

import dataclasses
import os

import numpy as np
import pyarrow as pa

from prouter_jax.data.interactions import Interactions, Queries, concatenate, first_seen
from prouter_jax.data.tables import columns
from prouter_jax.data.tables import columns as cells
from prouter_jax.data.tables import feedback as forms
from prouter_jax.data.tables.assemble import assemble
from prouter_jax.data.tables.columns import Known, Table, Texts
from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.data.tables.schema import load_folder, names_of
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io.paths import make_path

_HISTORY = {
    "user_id": "id",
    "query_id": "id?",
    "query": "text?",
    "task_id": "id?",
    "llm": "id?",
    "rating": "number?",
    "thumb": "number?",
    "llm_a": "id?",
    "llm_b": "id?",
    "winner": "text?",
    "candidates": "list?",
    "first": "id?",
    "time": "number?",
}

_FORMS = {"rating": "ratings", "thumb": "thumbs", "winner": "votes"}  # by the column that tells


def read_history(path: str | os.PathLike, base: Interactions) -> Interactions:
    """Reads what users, known or new, chose or how they rated it.

    With a column rating the rows are ratings, with thumb thumbs, with winner votes, without any of them choices, as in
    `read_tables`; candidates default to the LLMs rated, or to all. A row names its query by query_id or gives its text
    in query. A text without an id is the query of `base` that has this text, or else a new one under a made-up id; an
    unknown id with a text is a new query, of the task in task_id; a known id says it all.

    Args:
      path: a .parquet, .csv or .jsonl file.
      base: what the router knows.

    Raises:
      ValueError: one line that names the file, column and row, what was expected and what was found.
    """
    path = make_path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"table {path.name}: expected one of {', '.join(SUFFIXES)}, found {path.suffix!r}")
    table = columns.load(path, _HISTORY)
    form = _form_of(table)
    ids, queries = _resolve_queries(table, base)
    number = np.arange(table.num_rows)
    texts = table.texts | {"query_id": Texts(number, pa.array(ids, pa.large_string()), number)}
    tables = {form: dataclasses.replace(table, texts=texts)}
    new = assemble(tables, base.replace(queries=concatenate([base.queries, queries])))
    return _append(base, new, {"decisions": path.name, "feedback": path.name})


def read_llm_additions(folder: str | os.PathLike, base: Interactions) -> Interactions:
    """Reads a folder of tables in the formats of `read_tables`, of which only llms is needed.

    An LLM that `base` knows keeps its row and takes over the family, description, prices and pool that the
    table gives: a way to change prices. Users, tasks and queries that have a table here must be new; ids in the
    other tables may refer to `base` or to the folder. Choices without candidates fall on all LLMs, old and
    new. Files of vectors are not read.

    Args:
      folder: holds the tables.
      base: what the router knows.

    Raises:
      ValueError: one line that names the table (file), column and row, what was expected and what was found.
    """
    tables = load_folder(make_path(folder), ("llms",))
    return _append(base, assemble(tables, base), names_of(tables))


def _form_of(table: Table) -> str:
    """Which of the short forms of feedback a history has; all that this form needs is there."""
    given = [name for name in _FORMS if name in table.numbers or name in table.texts]
    if len(given) > 1:
        raise ValueError(f"table {table.name}: expected a column {given[0]} or a column {given[1]}, found both")
    form = _FORMS[given[0]] if given else "choices"
    for column in ("llm_a", "llm_b", *given) if form == "votes" else ("llm", *given):
        _check_given(table, column)
    return form


def _check_given(table: Table, column: str) -> None:
    if column in table.numbers:
        missing = np.isnan(table.numbers[column])
    elif column in table.texts:
        missing = table.strings(column) == ""
    else:
        raise ValueError(f"table {table.name}, column {column}: expected this column, found none")
    if missing.any():
        raise table.error(column, int(missing.argmax()), cells.EXPECTED[_HISTORY[column].rstrip("?")], None)


def _append(base: Interactions, new: Interactions, names: dict[str, str]) -> Interactions:
    """`new`, whose users, tasks, queries and LLMs start with those of `base`, with what happened in `base` before."""
    new = validate(new, names)
    _check_unseen(base, new, names.get("outcomes", "outcomes"))
    num_llms = len(new.llms.ids)
    offers = np.zeros((len(base.offers), num_llms), bool)
    offers[:, : len(base.llms.ids)] = base.offers
    before = forms.Record(offers, base.decisions, base.feedback)
    record = forms.join([before, forms.Record(new.offers, new.decisions, new.feedback)], num_llms)
    outcomes = concatenate([base.outcomes, new.outcomes])
    merged = new.replace(outcomes=outcomes, offers=record.offers, decisions=record.decisions, feedback=record.feedback)
    return validate(merged)


def _check_unseen(base: Interactions, new: Interactions, table: str) -> None:
    width = len(new.llms.ids)
    before, after = (data.outcomes.query.astype(np.int64) * width + data.outcomes.llm for data in (base, new))
    seen = np.isin(after, before)
    if seen.any():
        row = int(seen.argmax())
        found = f"{new.queries.ids[new.outcomes.query[row]]}, {new.llms.ids[new.outcomes.llm[row]]}"
        raise row_error(table, "query_id and llm", row, "a pair without a known outcome", found)


def _resolve_queries(table: Table, base: Interactions) -> tuple[np.ndarray, Queries]:
    """The query_id of each row, made up where need be, and the new queries by first appearance."""
    ids, texts = _query_ids(table, base.queries), table.strings("query")
    task = np.full(table.num_rows, -1, np.int32)
    if "task_id" in table.texts:
        task = table.rows("task_id", Known(base.tasks.ids, "a task_id known before, or none"))
    known = set(base.queries.ids)
    new = np.flatnonzero([id_ not in known for id_ in ids])
    group, first = first_seen(ids[new])
    first = new[first]
    for column, values in (("query", texts), ("task_id", table.strings("task_id"))):
        same = values[new] == values[first][group]
        if not same.all():
            place = int(same.argmin())
            expected = f"what row {first[group[place]]} of the same query has"
            raise table.error(column, new[place], expected, values[new][place] or None)
    return ids, Queries(ids[first], texts[first], task[first])


def _query_ids(table: Table, known: Queries) -> np.ndarray:
    """The query_id of each row; a text without one has that of the same text, known before, in the file, or made up."""
    ids, texts = table.strings("query_id").copy(), table.strings("query")
    known_ids = set(known.ids)
    id_of = dict(zip(known.texts[::-1], known.ids[::-1], strict=True))  # the first of equal texts stays
    for row, (id_, text) in enumerate(zip(ids, texts, strict=True)):
        if not text and id_ not in known_ids:
            expected = "a query_id known before, or a text in query"
            raise table.error("query_id", row, expected, id_ or None)
        if id_ and id_ not in known_ids:
            id_of.setdefault(text, id_)
    unnamed = np.flatnonzero(ids == "")
    unknown = dict.fromkeys(text for text in texts[unnamed] if text not in id_of)
    made_up = forms.unused_ids("query", len(unknown), np.append(known.ids, ids))
    id_of.update(zip(unknown, made_up, strict=True))
    ids[unnamed] = [id_of[text] for text in texts[unnamed]]
    return ids
