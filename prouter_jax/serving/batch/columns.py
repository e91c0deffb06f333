"""Columns of a chunk of (user, query) pairs, converted to the types that a scoring function expects."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.cells import to_python
from prouter_jax.data.validation import row_error

SCORED_COLUMNS = ("user_id", "query", "query_id", "task_id", "candidates")
_EXPECTED = {"query": "a text", "candidates": "a list of texts"}
LIST = pa.list_(pa.string())


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file.

    Attributes:
      columns: those of SCORED_COLUMNS that the file has, as string (candidates: list of string, a joined text as a
        list of it alone); null where empty.
      bad: error message of each row with a cell of a wrong type, by row of the chunk.
      table: returns all columns of the file, unchanged.
      fraction: approximate fraction of the file up to the end of this chunk, 0 to 1.
      lines: the rows as JSON objects if the file is JSONL, else None.
    """

    columns: dict[str, pa.Array]
    bad: dict[int, str]
    table: Callable[[], pa.Table]
    fraction: float
    lines: list[str] | None = None


def from_arrow(name: str, cells: pa.ChunkedArray, table: str, first: int) -> pa.Array:
    """Converts an Arrow column of any equivalent type (dictionary, integer ids, lists or joined texts of candidates).

    Args:
      name: one of SCORED_COLUMNS.
      table: name of the file, for messages.
      first: row of the file at which `cells` starts.

    Raises:
      ValueError: on another type; names the first cell that is not empty.
    """
    column = cells.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    kind = _value_type(column.type)
    if name == "candidates" and _is_list(kind) and _is_text(_value_type(kind.value_type), or_integer=True):
        return _without_dictionaries(column).cast(LIST)
    if not _is_text(kind, or_integer=name not in _EXPECTED):
        if column.null_count == len(column):
            return pa.nulls(len(column), LIST if name == "candidates" else pa.string())
        valid = int(column.is_valid().to_numpy(zero_copy_only=False).argmax())
        raise row_error(table, name, first + valid, _EXPECTED.get(name, "an id"), to_python(column.slice(valid, 1))[0])
    texts = _null_where_empty(column.cast(kind).cast(pa.string()))
    return _alone(texts) if name == "candidates" else texts


def from_python(name: str, cells: list, bad: dict[int, str]) -> pa.Array:
    """Converts values from JSON.

    Args:
      name: one of SCORED_COLUMNS.
      cells: the values; one of a wrong type becomes null.
      bad: receives an error message for the row of each such value.
    """
    if name != "candidates" and all(cell is None or type(cell) is str for cell in cells):
        with contextlib.suppress(UnicodeEncodeError):
            return _null_where_empty(pa.array(cells, pa.string()))
    convert = {"query": _text, "candidates": _list}.get(name, _id)
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None or cell == "" else convert(cell))
        except (TypeError, UnicodeEncodeError):
            values.append(None)
            bad.setdefault(row, f"{name}: expected {_EXPECTED.get(name, 'an id')}, found {str(cell)[:80]!a}")
    return pa.array(values, LIST if name == "candidates" else pa.string())


def _alone(texts: pa.Array) -> pa.Array:
    """Each text as a list of it alone, null where the text is null."""
    valid = texts.is_valid().to_numpy(zero_copy_only=False)
    ends = pa.array(np.concatenate([[0], np.cumsum(valid)]).astype(np.int32), mask=np.append(~valid, False))
    return pa.ListArray.from_arrays(ends, texts.drop_null())


def _null_where_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)  # pyright: ignore[reportAttributeAccessIssue]


def _value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary column, else the type itself."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_text(kind: pa.DataType, or_integer: bool) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return text or (or_integer and types.is_integer(kind))


def _without_dictionaries(column: pa.Array) -> pa.Array:
    return column.cast(pa.list_(_value_type(column.type.value_type)))


def _text(cell) -> str:
    if not isinstance(cell, str):
        raise TypeError
    if not cell.isascii():
        cell.encode()  # raises on half of a surrogate pair, which JSON can contain
    return cell


def _id(cell) -> str:
    return str(cell) if type(cell) is int else _text(cell)


def _list(cell) -> list[str]:
    if isinstance(cell, str):
        return [_text(cell)]
    if not isinstance(cell, list):
        raise TypeError
    return [_id(text) for text in cell]
