"""The columns of a table file (.parquet, .csv or .jsonl), each of a declared kind, checked cell by cell.

A schema maps column names to kinds: "id" (text or whole number), "key" (an id that no two rows share),
"text", "number", "list" (of texts, or one text joined by "|") or "texts" (a text, or a list of texts, which becomes
JSON; see `several`); a "?" behind the kind allows missing cells and the column to be absent. Columns outside the
schema are not loaded. Complaints count rows from 0 at the first row of data.
"""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.readers.cells import EXPECTED, from_python
from prouter_jax.readers.formats import one_line, read_cells
from prouter_jax.readers.loaded_table import Table, Texts


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
