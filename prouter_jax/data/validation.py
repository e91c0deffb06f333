"""Validation of `Interactions`: unique ids, valid references, numbers in range.

Every error names the table, the column and the row of the first bad cell.
"""

import dataclasses

import numpy as np

from prouter_jax.data.distinct import first_repeat
from prouter_jax.data.interactions import CHOICE, KINDS, THUMB, Feedback, Interactions


def validate(data: Interactions, table_names: dict[str, str] | None = None) -> Interactions:
    """Checks ids, references and ranges.

    Args:
      table_names: names of tables in messages (such as file names), by field of `Interactions`.

    Returns:
      `data`.

    Raises:
      ValueError: with table, column, row (counted from 0), the expected and the found value.
    """
    names = {f.name: f.name for f in dataclasses.fields(Interactions)} | (table_names or {})
    _check_lengths(data, names)
    for field, column in _ID_COLUMNS.items():
        _check_ids(getattr(data, field).ids, names[field], column)
    for field, column, other in _REFERENCES:
        _check_reference(data, names, field, column, other)
    for field in dict.fromkeys(limits[0] for limits in _RANGES):
        check_ranges(field, getattr(data, field), names[field])
    _check_pairs(data, names["outcomes"])
    _check_style(data, names["outcomes"])
    _check_first(data, names["decisions"])
    _check_feedback(data, names["feedback"])
    return data


def check_ranges(field: str, table, name: str) -> None:
    """Checks the ranges of the numbers of one table, as `validate` does."""
    for column, low, high in (limits[1:] for limits in _RANGES if limits[0] == field):
        values = getattr(table, column)
        good = ((values >= low) & (values <= high) & np.isfinite(values)) | np.isnan(values)
        expected = f"a number in [{low:,}, {high:,}]" if high < np.inf else "a finite number"
        _check(good, name, column, values, expected)


def row_error(table: str, column: str, row: int, expected: str, found) -> ValueError:
    """The error for a wrong cell, a message of one line.

    Args:
      table, column: names.
      row: counted from 0 at the first row of data.
      expected: description of a valid cell.
      found: the cell; None if missing.
    """
    missing = isinstance(found, float | np.floating) and np.isnan(found)
    text = repr(found[:80]) if isinstance(found, str) else str(found)[:80]
    shown = "nothing" if found is None else "NaN" if missing else text
    return ValueError(f"table {table}, column {column}, row {row}: expected {expected}, found {shown}")


_ID_COLUMNS = {
    "users": "user_id",
    "tasks": "task_id",
    "queries": "query_id",
    "llms": "llm",
    "decisions": "decision_id",
}
_REFERENCES = (
    ("queries", "task", "tasks"),
    ("outcomes", "query", "queries"),
    ("outcomes", "llm", "llms"),
    ("decisions", "user", "users"),
    ("decisions", "query", "queries"),
    ("decisions", "offer", "offers"),
    ("feedback", "decision", "decisions"),
    ("feedback", "llm", "llms"),
)
# far above every real number, and low enough that products of them stay finite as float32
MOST_USD, MOST_TOKENS, MOST_RATING = 10**6, 10**9, 10**6
_RANGES = (
    ("users", "preference", 0, 1),
    ("llms", "input_price", 0, MOST_USD),
    ("llms", "output_price", 0, MOST_USD),
    ("outcomes", "effect", 0, 1),
    ("outcomes", "cost", 0, MOST_USD),
    ("outcomes", "input_tokens", 0, MOST_TOKENS),
    ("outcomes", "output_tokens", 0, MOST_TOKENS),
    ("decisions", "time", -np.inf, np.inf),
)


def _check(good: np.ndarray, table: str, column: str, values: np.ndarray, expected: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise row_error(table, column, row, expected, values[row])


def _rows(data: Interactions, field: str) -> int:
    table = getattr(data, field)
    return len(table if field == "offers" else getattr(table, dataclasses.fields(table)[0].name))


def _check_lengths(data: Interactions, names: dict[str, str]) -> None:
    """Columns of a table have equal lengths; there is at least one query and one LLM."""
    for field in ("queries", "llms"):
        if not _rows(data, field):
            raise ValueError(f"table {names[field]}: expected at least one row, found none")
    tables = {f.name: getattr(data, f.name) for f in dataclasses.fields(data) if f.name != "offers"}
    for field, table in tables.items():
        for column in dataclasses.fields(table):
            values = getattr(table, column.name)
            if values is not None and len(values) != _rows(data, field):
                expected = f"expected {_rows(data, field)} rows, found {len(values)}"
                raise ValueError(f"table {names[field]}, column {column.name}: {expected}")
    if data.offers.shape[1:] != data.llms.ids.shape:
        raise ValueError(f"table offers: expected {len(data.llms.ids)} columns of LLMs, found {data.offers.shape}")


def _check_ids(ids: np.ndarray, table: str, column: str) -> None:
    if len(set(ids)) == len(ids) and "" not in ids:
        return
    rows: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            raise row_error(table, column, row, "an id", "")
        if name in rows:
            raise row_error(table, column, row, f"unique ids (row {rows[name]} has the same)", name)
        rows[name] = row


def _check_reference(data: Interactions, names: dict[str, str], field: str, column: str, other: str) -> None:
    rows = getattr(getattr(data, field), column)
    low = -1 if column == "task" else 0
    _check((rows >= low) & (rows < _rows(data, other)), names[field], column, rows, f"a row of {names[other]}")


def _check_pairs(data: Interactions, table: str) -> None:
    outcomes = data.outcomes
    row = first_repeat(outcomes.query.astype(np.int64) * len(data.llms.ids) + outcomes.llm)
    if row is not None:
        found = f"{data.queries.ids[outcomes.query[row]]}, {data.llms.ids[outcomes.llm[row]]}"
        raise row_error(table, "query_id and llm", row, "each pair once", found)


def _check_style(data: Interactions, table: str) -> None:
    """Style features are a matrix; each row is finite or all NaN."""
    style = data.outcomes.style
    if style is None:
        return
    if style.ndim != 2 or style.dtype.kind != "f":
        found = f"{style.dtype} of shape {style.shape}"
        raise ValueError(f"table {table}, column style: expected floats [outcomes, features], found {found}")
    width = style.shape[1]
    good = (np.isfinite(style).sum(1) == width) | (np.isnan(style).sum(1) == width)
    _check(good, table, "style", style, "finite numbers, or NaN alone")


def _check_first(data: Interactions, table: str) -> None:
    first, num_llms = data.decisions.first, len(data.llms.ids)
    _check((first >= -1) & (first < num_llms), table, "first", first, "a row of llms, or -1")
    offered = (first < 0) | data.offers[data.decisions.offer, first]
    _check(offered, table, "first", np.append(data.llms.ids, "")[first], "an LLM on offer in its decision")


def _check_feedback(data: Interactions, table: str) -> None:
    feedback, decisions = data.feedback, data.decisions
    _check((feedback.kind >= 0) & (feedback.kind < len(KINDS)), table, "kind", feedback.kind, "a row of KINDS")
    offered = data.offers[decisions.offer[feedback.decision], feedback.llm]
    _check(offered, table, "llm", data.llms.ids[feedback.llm], "an LLM on offer in its decision")
    key = (feedback.decision.astype(np.int64) * len(KINDS) + feedback.kind) * len(data.llms.ids) + feedback.llm
    row = first_repeat(key)
    if row is not None:
        raise row_error(table, "llm", row, "each LLM once a decision and kind", data.llms.ids[feedback.llm[row]])
    _check_values(feedback, len(decisions.user), table)


def _check_values(feedback: Feedback, num_decisions: int, table: str) -> None:
    value, choice, thumb = feedback.value, feedback.kind == CHOICE, feedback.kind == THUMB
    limit = f"a number in [{-MOST_RATING:,}, {MOST_RATING:,}]"
    _check(np.abs(value) <= MOST_RATING, table, "value", value, limit)
    _check(~choice | ((value > 0) & (value <= 1)), table, "value", value, "a share in (0, 1]")
    _check(~thumb | (value == 0) | (value == 1), table, "value", value, "a thumb, 1 (up) or 0 (down)")
    total = np.bincount(feedback.decision, value * choice, num_decisions)[feedback.decision]
    _check(~choice | (total < 1.001), table, "value", total, "shares of one choice that add up to 1")
