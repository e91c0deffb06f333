"""Which rows of a history can be used: the others are dropped and counted by reason, and do not stop the file."""

import collections

import numpy as np
from jaxtyping import Bool

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.names import split_names
from prouter_jax.data.tables.repeats import repeated_rows
from prouter_jax.data.tables.table import Table

_Mask = Bool[np.ndarray, " rows"]
_VALUES = {"ratings": "rating", "thumbs": "thumb"}
_LLMS = {"votes": ("llm_a", "llm_b")}


def drop_unusable(table: Table, form: str, base: Interactions) -> tuple[Table, collections.Counter[str]]:
    """Drops the rows of a history that cannot be used.

    Args:
      table: with the columns of `additions.read_history`.
      form: its short form, a key of `feedback.SHORT_FORMS`.
      base: the data that the history is added to.

    Returns:
      The other rows, and the number of dropped rows by reason.

    Raises:
      ValueError: if no row is left.
    """
    dropped: collections.Counter[str] = collections.Counter()
    left = table
    for reason, bad in _reasons(form, base):
        found = bad(left)
        if found.any():
            dropped[reason] += int(np.count_nonzero(found))
            left = left.take(~found)
    if not left.num_rows:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
        raise ValueError(f"table {table.name}: expected rows that can be used, found none: {reasons}")
    return left, dropped


def _reasons(form: str, base: Interactions):
    """The reasons for which a row is dropped, each with a function from the table to its rows, in this order."""
    named, value = _LLMS.get(form, ("llm",)), _VALUES.get(form)
    llms = set(base.llms.ids)
    yield "without a user", lambda table: _missing(table, "user_id")
    for column in named:
        yield f"without a value in {column}", lambda table, column=column: _missing(table, column)
    if value:
        yield f"without a {value}", lambda table: np.isnan(table.floats(value))
    for column in (*named, "first"):
        yield f"with an LLM in {column} that is unknown", lambda table, column=column: _unknown(table, column, llms)
    yield "with unknown LLMs among the candidates", lambda table: _unknown_candidates(table, llms)
    yield "whose query is unknown and has no text", lambda table: _without_query(table, set(base.queries.ids))
    yield "with an unknown task", lambda table: _unknown(table, "task_id", set(base.tasks.ids))
    yield "whose query has another text or task in an earlier row", lambda table: _other_text(table, base)
    if form == "thumbs":
        yield "with a thumb other than 1 and 0", lambda table: ~np.isin(table.floats("thumb"), (0, 1))
    if form == "votes":
        yield "with a winner other than a, b or tie", lambda table: _unknown(table, "winner", {"a", "b", "tie"})
        yield "with the same LLM on both sides", lambda table: table.strings("llm_a") == table.strings("llm_b")
    else:
        yield "with an LLM that is none of the candidates", lambda table: _not_offered(table, "llm", llms)
    yield "with an LLM in first that is none of the candidates", lambda table: _not_offered(table, "first", llms)
    if form != "votes":
        yield "repeating another row", repeated_rows
        yield "contradicting another row of the same user, query and time", _contradicting


def _missing(table: Table, column: str) -> _Mask:
    return table.strings(column) == ""


def _unknown(table: Table, column: str, known: set[str]) -> _Mask:
    cells = table.strings(column)
    return (cells != "") & ~np.array([cell in known for cell in cells], bool)


def _unknown_candidates(table: Table, llms: set[str]) -> _Mask:
    return np.array([listed is None for listed in _candidates(table, llms)], bool)


def _candidates(table: Table, llms: set[str]) -> list[set[str] | None]:
    """The candidates of each row, empty where they are not given; None if they cannot be read."""
    found: list[set[str] | None] = [set() for _ in range(table.num_rows)]
    if "candidates" not in table.texts:
        return found
    column = table.texts["candidates"]
    texts = column.values.to_pylist()
    for row, code in zip(column.row.tolist(), column.codes.tolist(), strict=True):
        known = found[row]
        if code < 0 or known is None:
            continue
        names = split_names(texts[code], llms) if column.joined else [texts[code]]
        bad = isinstance(names, str) or not llms.issuperset(names)
        found[row] = None if bad else known | set(names)
    return found


def _without_query(table: Table, known: set[str]) -> _Mask:
    ids, texts = table.strings("query_id"), table.strings("query")
    return (texts == "") & ~np.array([id_ in known for id_ in ids], bool)


def _other_text(table: Table, base: Interactions) -> _Mask:
    """Rows of a new query_id whose text or task is not that of its first row."""
    ids, known = table.strings("query_id"), set(base.queries.ids)
    new = np.flatnonzero([id_ != "" and id_ not in known for id_ in ids])
    bad = np.zeros(table.num_rows, bool)
    if len(new):
        group, first = first_seen(ids[new])
        for column in ("query", "task_id"):
            cells = table.strings(column)[new]
            bad[new] |= cells != cells[first][group]
    return bad


def _contradicting(table: Table) -> _Mask:
    """Later rows of a user, query and time that name an LLM again, or have other candidates or another first LLM."""
    columns = [table.strings(name) for name in ("user_id", "query_id", "query")]
    times = np.nan_to_num(table.floats("time"), nan=np.finfo(np.float64).max)
    key = np.array([repr(cells) for cells in zip(*columns, times.tolist(), strict=True)], object)
    group, first = first_seen(key)
    bad = np.zeros(table.num_rows, bool)
    for cells in (_listed(table), table.strings("first")):
        bad |= cells != cells[first][group]
    llm = np.array([f"{number} {name}" for number, name in zip(group, table.strings("llm"), strict=True)], object)
    again = np.ones(table.num_rows, bool)
    again[first_seen(llm)[1]] = False
    return bad | again


def _listed(table: Table) -> np.ndarray:
    """The candidates of each row as one text, whatever their order."""
    cells: list[list[int]] = [[] for _ in range(table.num_rows)]
    if "candidates" in table.texts:
        column = table.texts["candidates"]
        for row, code in zip(column.row.tolist(), column.codes.tolist(), strict=True):
            cells[row].append(code)
    return np.array([str(sorted(cell)) for cell in cells], object)


def _not_offered(table: Table, column: str, llms: set[str]) -> _Mask:
    pairs = zip(table.strings("llm_a"), table.strings("llm_b"), strict=True)
    offers = [set(pair) for pair in pairs] if "winner" in table.texts else _candidates(table, llms)
    cells = zip(table.strings(column), offers, strict=True)
    return np.array([cell != "" and bool(offered) and cell not in offered for cell, offered in cells], bool)
