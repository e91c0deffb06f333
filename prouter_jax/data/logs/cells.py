"""Conversion of log columns of any Arrow type to texts, amounts, thumbs, times and lists of names.

Each function returns the values [rows], null or NaN if missing, and bool [rows], the cells that are present but cannot
be converted.
"""

import datetime
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.logs.reader import last_question

_THUMBS = {
    **dict.fromkeys(
        ("up", "thumbs_up", "thumbsup", "like", "liked", "positive", "good", "true", "1", "1.0", "+1"), 1.0
    ),
    **dict.fromkeys(("down", "thumbs_down", "thumbsdown", "dislike", "disliked", "negative", "bad", "false"), 0.0),
    **dict.fromkeys(("-1", "-1.0"), 0.0),
}
_is = pa.types


def texts(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Texts and integers as large_string; an empty text is missing."""
    if _is.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (is_text(column.type) or _is.is_integer(column.type) or _is.is_null(column.type)):
        return pa.nulls(len(column), pa.large_string()), _is_present(column)
    column = column.cast(pa.large_string())
    empty = pc.equal(pc.binary_length(column), 0)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(empty, None, column), np.zeros(len(column), bool)  # pyright: ignore[reportAttributeAccessIssue]


def questions(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The text of the user's last message in each list of {role, content}."""
    if _is_messages(column.type):
        return _last_messages(column), np.zeros(len(column), bool)
    found = [last_question(cell) for cell in column.to_pylist()]
    found = pa.array(found, pa.large_string())
    return found, _is_present(column) & found.is_null().to_numpy(zero_copy_only=False)


def amounts(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Finite numbers as float64."""
    present = _is_present(column)
    if is_text(column.type):
        column = _map_distinct(column, _as_number)
    elif not (_is.is_integer(column.type) or _is.is_floating(column.type) or _is.is_decimal(column.type)):
        column = pa.nulls(len(column), pa.float64())
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan), present & ~np.isfinite(values)


def thumbs(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Thumbs as 1 (up) or 0 (down), from words such as "up" and "dislike", true and false, 1 and -1."""
    present = _is_present(column)
    if _is.is_integer(column.type) or _is.is_floating(column.type) or _is.is_boolean(column.type):
        column = column.cast(pa.string())
    if not is_text(column.type):
        return np.full(len(column), np.nan), present
    values = _map_distinct(column, lambda text: _THUMBS.get(text.strip().lower())).to_numpy(zero_copy_only=False)
    return values, present & np.isnan(values)


def times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970, from numbers, ISO 8601 texts (UTC by default) and Arrow timestamps."""
    if _is.is_timestamp(column.type):
        seconds = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).cast(pa.float64(), safe=False)
        return seconds.fill_null(np.nan).to_numpy(zero_copy_only=False) / 1e6, np.zeros(len(column), bool)
    if not is_text(column.type):
        return amounts(column)
    values = _map_distinct(column, _as_seconds).to_numpy(zero_copy_only=False)
    return values, _is_present(column) & np.isnan(values)


def names(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Lists of texts; a single text is split at "|". An empty list or name cannot be converted."""
    present = _is_present(column)
    if is_text(column.type):
        column = pc.split_pattern(column.cast(pa.large_string()), "|")  # pyright: ignore[reportAttributeAccessIssue]
    if not (_is.is_list(column.type) or _is.is_large_list(column.type)) or not is_text(column.type.value_type):
        return pa.nulls(len(column), pa.large_list(pa.large_string())), present
    column = column.cast(pa.large_list(pa.large_string()))
    bad = column.value_lengths().fill_null(1).to_numpy(zero_copy_only=False) == 0
    flat = column.flatten()
    odd = pc.equal(pc.binary_length(flat), 0).fill_null(True)  # pyright: ignore[reportAttributeAccessIssue]
    bad[column.value_parent_indices().to_numpy()[odd.to_numpy(zero_copy_only=False)]] = True
    return column, bad


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string type."""
    return _is.is_string(kind) or _is.is_large_string(kind) or _is.is_string_view(kind)


def _is_present(column: pa.Array) -> np.ndarray:
    return column.is_valid().to_numpy(zero_copy_only=False)


def _map_distinct(column: pa.Array, read) -> pa.Array:
    """`read` applied to each distinct text, float64 [rows], NaN for None."""
    encoded = column.cast(pa.large_string()).dictionary_encode()
    values = [read(text) for text in encoded.dictionary.to_pylist()]
    table = np.array([*(np.nan if value is None else value for value in values), np.nan])
    return pa.array(table[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)])


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_seconds(text: str) -> float | None:
    if (seconds := _as_number(text)) is not None:
        return seconds if math.isfinite(seconds) else None
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_messages(kind: pa.DataType) -> bool:
    if not (_is.is_list(kind) or _is.is_large_list(kind)) or not _is.is_struct(kind.value_type):
        return False
    fields = {field.name: field.type for field in kind.value_type}
    return all(name in fields and is_text(fields[name]) for name in ("role", "content"))


def _last_messages(column: pa.Array) -> pa.Array:
    parent, flat = column.value_parent_indices().to_numpy(), column.flatten()
    role, content = (
        pc.struct_field(flat, [flat.type.get_field_index(name)])  # pyright: ignore[reportAttributeAccessIssue]
        for name in ("role", "content")
    )
    of_user = pc.equal(role, "user").fill_null(False).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
    last = np.full(len(column), -1)
    last[parent[of_user]] = np.flatnonzero(of_user)  # of several assignments to a row, the last one counts
    return content.cast(pa.large_string()).take(pa.array(last, mask=last < 0))
