"""The columns of a table file (.parquet, .csv or .jsonl), each of a declared kind, checked cell by cell.

A schema maps column names to kinds: "id" (text or whole number), "key" (an id that no two rows share),
"text", "number", "list" (of texts, or one text joined by "|") or "texts" (a text, or a list of texts, which becomes
JSON; see `several`); a "?" behind the kind allows missing cells and the column to be absent. Columns outside the
schema are not loaded. Complaints count rows from 0 at the first row of data.
"""

import dataclasses
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.tables.files import one_line, read_cells
from prouter_jax.data.validation import row_error


@dataclasses.dataclass(frozen=True)
class Known:
    """What a column may refer to: the ids, and the words for them in a complaint."""

    ids: np.ndarray
    expected: str


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts by number: entry i is `values[codes[i]]` (-1 for missing) and stands in row `row[i]` of the table."""

    codes: np.ndarray
    values: pa.Array
    row: np.ndarray


@dataclasses.dataclass(frozen=True)
class Table:
    """The loaded columns of a file, by name: texts of all kinds, and numbers (float64 [rows], NaN where missing)."""

    name: str
    num_rows: int
    texts: dict[str, Texts]
    numbers: dict[str, np.ndarray]

    def strings(self, column: str) -> np.ndarray:
        """Object array of str [rows], "" where missing."""
        if column not in self.texts:
            return np.full(self.num_rows, "", object)
        texts = self.texts[column]
        return np.append(texts.values.to_numpy(zero_copy_only=False), "")[texts.codes]

    def floats(self, column: str) -> np.ndarray:
        """float64 [rows], all of it NaN if there is no such column."""
        return self.numbers.get(column, np.full(self.num_rows, np.nan))

    def rows(self, column: str, known: Known) -> np.ndarray:
        """int32 [entries], the position of each entry in `known.ids`, -1 where missing.

        Raises:
          ValueError: naming the first row with an id that is not there.
        """
        texts = self.texts[column]
        ids = pa.array(known.ids, pa.large_string())
        found = pc.index_in(texts.values, value_set=ids)  # pyright: ignore[reportAttributeAccessIssue]
        position = np.append(found.fill_null(-2).to_numpy(zero_copy_only=False), -1).astype(np.int32)[texts.codes]
        if (position == -2).any():
            entry = int((position == -2).argmax())
            raise self.error(column, texts.row[entry], known.expected, texts.values[texts.codes[entry]].as_py())
        return position

    def listed(self, column: str, row: int) -> list[str]:
        """The texts of a column that stand in a row: those of a list, one or none otherwise."""
        texts = self.texts[column]
        return texts.values.take(pa.array(texts.codes[(texts.row == row) & (texts.codes >= 0)])).to_pylist()

    def error(self, column: str, row: int | np.integer, expected: str, found) -> ValueError:
        return row_error(self.name, column, int(row), expected, found)


EXPECTED = {
    "id": "an id",
    "key": "an id",
    "text": "a text",
    "number": "a number",
    "list": "a list of texts",
    "texts": "a text or a list of texts",
}


def from_python(table: Table, name: str, kind: str, cells: list) -> pa.Array:
    """The cells of a column.

    Raises:
      ValueError: naming the first cell that is not of the kind.
    """
    convert = float if kind == "number" and table.name.endswith(".csv") else _CONVERT[kind]
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise table.error(name, row, EXPECTED[kind], cell) from error
    types = {"number": pa.float64(), "list": pa.list_(pa.large_binary())}
    return pa.array(values, types.get(kind, pa.large_binary()))


def _bytes(text) -> bytes:
    """Undoes the surrogates that stand for broken UTF-8, so that all formats meet the same check."""
    if not isinstance(text, str):
        raise TypeError
    return text.encode("utf-8", "surrogateescape")


def _id(cell: str | int) -> bytes:
    return _bytes(str(cell) if type(cell) is int else cell)


def _number(cell: float) -> float:
    if type(cell) not in (int, float):
        raise TypeError
    return float(cell)


def _texts_cells(cell: str | float | list) -> bytes:
    """Numbers are texts as well: a right answer may be one."""
    if type(cell) is list:
        if not cell or not all(isinstance(text, str) for text in cell):
            raise TypeError
        return json.dumps(cell, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return _bytes(json.dumps(cell) if type(cell) in (int, float) else cell)


_CONVERT = {
    "id": _id,
    "key": _id,
    "text": _bytes,
    "number": _number,
    "list": lambda cell: [_bytes(text) for text in (cell if type(cell) is list else cell.split("|"))],
    "texts": _texts_cells,
}


def load(path: pathlib.Path, schema: dict[str, str]) -> Table:
    """Reads the columns of `schema` from a file whose format its suffix tells.

    Raises:
      ValueError: on anything but a readable, not empty table of these columns; one line with table, column, row.
    """
    cells, num_rows = read_cells(path, schema)
    missing = [name for name, kind in schema.items() if name not in cells and not kind.endswith("?")]
    if missing and (cells or num_rows or path.suffix != ".jsonl"):
        raise ValueError(f"table {path.name}, column {missing[0]}: expected this column, found none")
    if not num_rows:
        raise ValueError(f"table {path.name}: expected at least one row, found none")
    table = Table(path.name, num_rows, {}, {})
    for name, kind in schema.items():
        if name in cells:
            try:
                _add_column(table, name, kind.rstrip("?"), kind.endswith("?"), cells[name])
            except pa.ArrowException as error:  # a damaged file may decode to, say, a number beyond its dictionary
                raise ValueError(
                    f"table {path.name}, column {name}: expected sound data, found {one_line(error)}"
                ) from error
    return table


def several(cell: str) -> list[str]:
    """The texts of a cell of the kind "texts"."""
    try:
        found = json.loads(cell) if cell.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found and all(isinstance(text, str) for text in found):
        return found
    return [cell]


def _add_column(table: Table, name: str, kind: str, optional: bool, cells) -> None:
    """Checks one column, from Arrow (Parquet) or a list of Python values, and puts it into the table."""
    if kind == "texts" and not isinstance(cells, list) and not _is_text(cells.type):
        cells = cells.to_pylist()
    if isinstance(cells, list):
        cells = from_python(table, name, kind, cells)
    if isinstance(cells.type, pa.DictionaryType):
        cells = cells.cast(cells.type.value_type)
    _check_type(table, name, kind, cells)
    if not optional:
        _check_present(table, name, kind, cells, np.arange(len(cells)))
    if kind == "number":
        table.numbers[name] = _numbers(table, name, cells)
    elif kind == "list":
        table.texts[name] = _list_texts(table, name, cells)
    else:
        texts = table.texts[name] = _texts(table, name, cells, np.arange(len(cells)), optional)
        if kind == "key" and len(texts.values) < len(cells):
            _refuse_repeat(table, name, texts)


def _check_present(table: Table, name: str, kind: str, cells, row: np.ndarray) -> None:
    if cells.null_count:
        missing = cells.is_null().to_numpy(zero_copy_only=False)
        raise table.error(name, _row_of(missing, row), EXPECTED[kind], None)


def _refuse_repeat(table: Table, name: str, texts: Texts) -> None:
    seen: dict[int, int] = {}
    for row, code in enumerate(texts.codes.tolist()):
        if code in seen:
            raise table.error(name, row, f"unique ids (row {seen[code]} has the same)", texts.values[code].as_py())
        seen[code] = row


def _row_of(chosen: np.ndarray, row: np.ndarray) -> int:
    """The row of the first chosen entry."""
    return int(row[int(chosen.argmax())])


def _check_type(table: Table, name: str, kind: str, cells) -> None:
    """A column of the wrong type: its first cell stands for all."""
    whole, text = pa.types.is_integer(cells.type), _is_text(cells.type)
    fits = {
        "id": text or whole,
        "key": text or whole,
        "text": text,
        "number": whole or pa.types.is_floating(cells.type),
        "list": text or _is_list_of_texts(cells.type),
        "texts": text,
    }
    if not fits[kind] and not pa.types.is_null(cells.type):
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        row = int(present.argmax()) if len(present) else 0
        raise table.error(name, row, EXPECTED[kind], cells[row].as_py() if len(cells) else cells.type)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return any(
        test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_large_binary)
    )


def _is_list_of_texts(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    inner = kind.value_type
    return _is_text(inner.value_type if isinstance(inner, pa.DictionaryType) else inner)


def _numbers(table: Table, name: str, cells) -> np.ndarray:
    missing = cells.is_null().to_numpy(zero_copy_only=False)
    values = cells.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy()
    good = np.isfinite(values)
    if not good.all():
        row = int((~good).argmax())
        raise table.error(name, row, "a finite number", values[row])
    return np.where(missing, np.nan, values)


def _list_texts(table: Table, name: str, cells) -> Texts:
    if not _is_list_of_texts(cells.type):
        split = [None if text is None else text.split(b"|") for text in _binary(cells).to_pylist()]
        cells = pa.array(split, pa.list_(pa.large_binary()))
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    empty = cells.value_lengths().fill_null(1).to_numpy(zero_copy_only=False) == 0
    if empty.any():
        raise table.error(name, empty.argmax(), "at least one", "an empty list")
    row, cells = cells.value_parent_indices().to_numpy(), cells.flatten()
    _check_present(table, name, "text", cells, row)
    return _texts(table, name, cells, row, False)


def _binary(cells):
    """Any kind of text as bytes, not yet looked at; whole numbers as their digits."""
    if isinstance(cells.type, pa.DictionaryType):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_integer(cells.type):
        cells = cells.cast(pa.large_string())
    cells = cells.cast(pa.large_binary())
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _texts(table: Table, name: str, cells, row: np.ndarray, optional: bool) -> Texts:
    """Numbers the distinct texts; an empty one is as good as none."""
    encoded = _binary(cells).dictionary_encode()
    distinct = encoded.dictionary
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    try:
        values = distinct.cast(pa.large_string())
    except pa.ArrowInvalid as error:
        bad = _first_not_utf8(distinct)
        raise table.error(name, _row_of(codes == bad, row), "UTF-8 text", distinct[bad].as_py()) from error
    empty = pc.index(distinct, pa.scalar(b"", pa.large_binary())).as_py()
    if empty >= 0 and not optional:
        raise table.error(name, _row_of(codes == empty, row), "a text that is not empty", "")
    return Texts(np.where(codes == empty, -1, codes) if empty >= 0 else codes, values, row)


def _first_not_utf8(texts: pa.Array) -> int:
    for place, text in enumerate(texts.to_pylist()):
        try:
            text.decode()
        except UnicodeDecodeError:
            return place
    raise AssertionError("called for texts of which one is not UTF-8")
