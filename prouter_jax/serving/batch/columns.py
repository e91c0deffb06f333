"""A chunk of rows of pairs, and its columns in the types that a scoring function is promised."""

import contextlib
import dataclasses
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.validation import row_error

NEEDED = ("user_id", "query", "query_id", "task_id", "candidates")
_EXPECTED = {"query": "a text", "candidates": "a list of texts"}
LIST = pa.list_(pa.string())


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    Attributes:
      columns: those of NEEDED that the file has, as string and list of string, null where empty.
      bad: what is wrong with a row, by row of the chunk, if a cell is of a type that `columns` cannot hold.
      table: makes the table of all columns of the file, unchanged.
      fraction: how much of the file is read with this chunk, about.
      lines: the rows as JSON objects, if the file holds such.
    """

    columns: dict[str, pa.Array]
    bad: dict[int, str]
    table: Callable[[], pa.Table]
    fraction: float
    lines: list[str] | None = None


def from_arrow(name: str, cells: pa.ChunkedArray, table: str, first: int) -> pa.Array:
    """A column of NEEDED from whatever Arrow type says the same.

    Args:
      table: the file's name, for messages.
      first: row of the file where `cells` start.

    Raises:
      ValueError: on another type, naming the first cell that is not empty.
    """
    column = cells.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    kind = _plain(column.type)
    if name == "candidates" and _is_list(kind) and _fits(_plain(kind.value_type), whole=True):
        return _without_dictionaries(column).cast(LIST)
    if not _fits(kind, whole=name not in _EXPECTED):
        if column.null_count == len(column):
            return pa.nulls(len(column), LIST if name == "candidates" else pa.string())
        row = int(column.is_valid().to_numpy(zero_copy_only=False).argmax())
        raise row_error(table, name, first + row, _EXPECTED.get(name, "an id"), column[row].as_py())
    texts = _null_where_empty(column.cast(kind).cast(pa.string()))
    return pc.split_pattern(texts, "|") if name == "candidates" else texts  # pyright: ignore[reportAttributeAccessIssue]


def from_python(name: str, cells: list, bad: dict[int, str]) -> pa.Array:
    """A column of NEEDED from values of JSON; a cell that does not fit is null and its row is told in `bad`."""
    if name != "candidates" and all(cell is None or type(cell) is str for cell in cells):
        with contextlib.suppress(UnicodeEncodeError):
            return _null_where_empty(pa.array(cells, pa.string()))
    convert = {"query": _text, "candidates": _texts}.get(name, _id)
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None or cell == "" else convert(cell))
        except (TypeError, UnicodeEncodeError):
            values.append(None)
            bad.setdefault(row, f"{name}: expected {_EXPECTED.get(name, 'an id')}, found {str(cell)[:80]!a}")
    return pa.array(values, LIST if name == "candidates" else pa.string())


def _null_where_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)  # pyright: ignore[reportAttributeAccessIssue]


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _fits(kind: pa.DataType, whole: bool) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return text or (whole and types.is_integer(kind))


def _without_dictionaries(column: pa.Array) -> pa.Array:
    return column.cast(pa.list_(_plain(column.type.value_type)))


def _text(cell) -> str:
    if not isinstance(cell, str):
        raise TypeError
    if not cell.isascii():
        cell.encode()  # JSON may hold half of a surrogate pair
    return cell


def _id(cell) -> str:
    return str(cell) if type(cell) is int else _text(cell)


def _texts(cell) -> list[str]:
    if isinstance(cell, str):
        return _text(cell).split("|")
    if not isinstance(cell, list):
        raise TypeError
    return [_id(text) for text in cell]
