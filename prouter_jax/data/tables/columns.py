"""Checked columns of a table, from Arrow arrays or Python values: numbers, times, texts, ids and lists of texts."""

import dataclasses
import functools
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int

from prouter_jax.data import cell_times, cells
from prouter_jax.data.cells import is_utf8
from prouter_jax.data.distinct import first_repeat
from prouter_jax.data.tables.table import Table, TextColumn

EXPECTED = {  # descriptions of the kinds for error messages
    "id": "an id",
    "key": "an id",
    "text": "a text",
    "number": "a number",
    "grade": "a number, true or false",
    "time": "a time, or a number of seconds since 1970",
    "list": "a list of texts",
    "texts": "a text or a list of texts",
    "options": "a list of texts, or an object with text and labels",
}


def add_column(table: Table, name: str, kind: str, optional: bool, column) -> None:
    """Checks one column and adds it to the table.

    Args:
      kind: of its cells, see `schema`.
      optional: whether cells may be missing.
      column: an Arrow array (from Parquet) or a list of Python values.

    Raises:
      ValueError: naming the first cell that is not of the kind.
    """
    if kind in _NUMBERS:
        table.numbers[name] = _numbers(table, name, kind, optional, column)
        return
    if kind in ("texts", "options") and not isinstance(column, list) and not _is_text(column.type):
        column = cells.to_python(column)
    if isinstance(column, list):
        column = _convert(table, name, kind, column)
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if kind in ("id", "key") and pa.types.is_floating(column.type):
        column = _whole_ids(table, name, column)
    _check_type(table, name, kind, column)
    if not optional:
        _check_present(table, name, kind, column, np.arange(len(column)))
    if kind == "list":
        table.texts[name] = _list_column(table, name, column)
    else:
        table.texts[name] = _text_column(table, name, column, np.arange(len(column)), optional)
        if kind == "key":
            check_unique(table, name)


def check_unique(table: Table, name: str) -> None:
    """Raises a ValueError if a text of a column is there twice."""
    texts = table.texts[name]
    row = first_repeat(texts.codes)
    if row is not None:
        expected = f"unique ids (row {(texts.codes == texts.codes[row]).argmax()} has the same)"
        raise table.error(name, row, expected, texts.values[texts.codes[row]].as_py())


def _whole_ids(table: Table, name: str, column) -> pa.Array:
    """Ids that pandas stored as floats because some are missing."""
    ids, bad = cells.texts(column)
    if bad.any():
        row = int(bad.argmax())
        raise table.error(name, row, EXPECTED["id"], cells.to_python(column.slice(row, 1))[0])
    return ids


def _convert(table: Table, name: str, kind: str, column: list) -> pa.Array:
    """Python values as an Arrow array: lists of bytes for lists, bytes for other kinds."""
    convert, values = _CONVERTERS[kind], []
    for row, cell in enumerate(column):
        try:
            values.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise table.error(name, row, EXPECTED[kind], cell) from error
    if kind == "list" and not any(type(value) is bytes for value in values):
        return pa.array(values, pa.list_(pa.large_binary()))
    if kind == "list":  # some are texts: all become texts
        values = [
            _bytes(json.dumps(_decoded(value), ensure_ascii=False)) if type(value) is list else value
            for value in values
        ]
    return pa.array(values, pa.large_binary())


def _decoded(names: list[bytes]) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in names]


def _bytes(text) -> bytes:
    """The bytes of a text. Surrogates become invalid bytes again, as in the file, which `_text_column` reports."""
    if not isinstance(text, str):
        raise TypeError
    return text.encode("utf-8", "surrogateescape")


def _id(cell: str | float) -> bytes:
    whole = type(cell) is int or (type(cell) is float and cell.is_integer())
    return _bytes(str(int(cell)) if whole else cell)


def _texts(cell: str | float | list) -> bytes:
    """Numbers count as texts: a reference answer may be a number."""
    if type(cell) is list:
        if not cell or not all(isinstance(text, str) for text in cell):
            raise TypeError
        return json.dumps(cell, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return _bytes(json.dumps(cell) if type(cell) in (int, float) else cell)


def _options(cell: str | list | dict) -> bytes:
    return _bytes(json.dumps(cell, ensure_ascii=False) if type(cell) in (list, dict) else cell)


_CONVERTERS = {
    "id": _id,
    "key": _id,
    "text": _bytes,
    "list": lambda cell: [_id(text) for text in cell] if type(cell) is list else _bytes(cell),
    "texts": _texts,
    "options": _options,
}


def _check_present(table: Table, name: str, kind: str, column, row: Int[np.ndarray, " entries"]) -> None:
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        raise table.error(name, int(row[missing.argmax()]), EXPECTED[kind], None)


def _check_type(table: Table, name: str, kind: str, column) -> None:
    """Checks the Arrow type of a column; an error names the first cell."""
    whole, text = pa.types.is_integer(column.type), _is_text(column.type)
    fits = {"list": text or _is_list_of_texts(column.type), "id": text or whole, "key": text or whole}
    if not fits.get(kind, text) and not pa.types.is_null(column.type):
        present = column.is_valid().to_numpy(zero_copy_only=False)
        row = int(present.argmax()) if len(present) else 0
        raise table.error(name, row, EXPECTED[kind], [*cells.to_python(column.slice(row, 1)), column.type][0])


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or kind == pa.large_binary()
    )


def _is_list_of_texts(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    inner = kind.value_type
    return _is_text(inner.value_type if isinstance(inner, pa.DictionaryType) else inner)


def _numbers(table: Table, name: str, kind: str, optional: bool, found) -> Float64[np.ndarray, " rows"]:
    """A column of numbers, NaN where they are missing; an error names the first cell that is none."""
    values, bad = _NUMBERS[kind](cells.column_of(found) if isinstance(found, list) else found)
    bad |= np.isnan(values) if not optional else False
    if bad.any():
        row = int(bad.argmax())
        cell = found[row] if isinstance(found, list) else cells.to_python(found.slice(row, 1))[0]
        expected = "a finite number" if _is_infinite(cell) else EXPECTED[kind]
        raise table.error(name, row, expected, float(cell) if _is_infinite(cell) else cell)
    return values


def _is_infinite(cell) -> bool:
    try:
        return type(cell) in (str, float) and math.isinf(float(cell))
    except ValueError:
        return False


_NUMBERS = {"number": cells.numbers, "grade": functools.partial(cells.numbers, booleans=True), "time": cell_times.times}


def _list_column(table: Table, name: str, column) -> TextColumn:
    if not _is_list_of_texts(column.type):
        return dataclasses.replace(_text_column(table, name, column, np.arange(len(column)), True), joined=True)
    column = cells.as_lists(cells.decoded(column))
    assert column is not None
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    empty = (lengths == 0) & column.is_valid().to_numpy(zero_copy_only=False)
    if empty.any():
        raise table.error(name, empty.argmax(), "at least one", "an empty list")
    row, column = np.repeat(np.arange(len(lengths)), lengths), column.flatten()
    _check_present(table, name, "text", column, row)
    return _text_column(table, name, column, row, False)


def _binary(column):
    """Texts of any Arrow type as unchecked bytes; whole numbers as their digits."""
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type):
        column = column.cast(pa.large_string())
    column = column.cast(pa.large_binary())
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _text_column(table: Table, name: str, column, row: Int[np.ndarray, " entries"], optional: bool) -> TextColumn:
    """Checks texts and stores each distinct text once. An empty text counts as missing."""
    encoded = _binary(column).dictionary_encode()
    distinct = encoded.dictionary
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    try:
        values = distinct.cast(pa.large_string())
    except pa.ArrowInvalid as error:
        bad = next(code for code, text in enumerate(distinct.to_pylist()) if not is_utf8(text))
        raise table.error(name, int(row[(codes == bad).argmax()]), "UTF-8 text", distinct[bad].as_py()) from error
    empty = pc.index(distinct, pa.scalar(b"", pa.large_binary())).as_py()
    if empty >= 0 and not optional:
        raise table.error(name, int(row[(codes == empty).argmax()]), "a text that is not empty", "")
    return TextColumn(np.where(codes == empty, -1, codes) if empty >= 0 else codes, values, row)
