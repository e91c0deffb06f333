"""The columns of a table file (.parquet, .csv or .jsonl), each of a declared kind, checked cell by cell.

A schema maps column names to kinds: "id" (text or whole number), "key" (an id that no two rows share),
"text", "number" or "list" (of texts, or one text joined by "|"); a "?" behind the kind allows missing cells
and the column to be absent. Columns outside the schema are not loaded. Complaints count rows from 0 at the
first row of data; blank lines of CSV and JSONL do not count.
"""

import contextlib
import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Generator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prouter_jax.validation import row_error


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
        """The texts of a list column that stand in a row."""
        texts = self.texts[column]
        return texts.values.take(pa.array(texts.codes[texts.row == row])).to_pylist()

    def error(self, column: str, row: int | np.integer, expected: str, found) -> ValueError:
        return row_error(self.name, column, int(row), expected, found)


def load(path: pathlib.Path, schema: dict[str, str]) -> Table:
    """Reads the columns of `schema` from a file whose format its suffix tells.

    Raises:
      ValueError: on anything but a readable, not empty table of these columns; one line with table, column, row.
    """
    cells, num_rows = _FORMATS[path.suffix](path, schema)
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
                    f"table {path.name}, column {name}: expected sound data, found {_line(error)}"
                ) from error
    return table


def csv_rows(path: pathlib.Path) -> Generator[list[str], None, None]:
    """The records of a CSV file, header first, as wide as the header; fields of any length.

    Broken UTF-8 comes through as surrogates, so that the cell with it can be named, if it is wanted at all.
    """
    limit = csv.field_size_limit(sys.maxsize)
    row = -1
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header: list[str] = []
            for record in csv.reader(file, strict=True):
                if not record:
                    continue
                header = header or record
                if len(record) != len(header):
                    column = header[min(len(record), len(header) - 1)]
                    raise row_error(path.name, column, row, f"{len(header)} fields", len(record))
                yield record
                row += 1
    except (csv.Error, OSError) as error:
        place = f", row {row}" if row >= 0 else ""
        raise ValueError(f"table {path.name}{place}: expected readable CSV, found {_line(error)}") from error
    finally:
        csv.field_size_limit(limit)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_parquet(path: pathlib.Path, schema: dict[str, str]):
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            _check_once(path, names, schema)
            table = file.read(columns=[name for name in names if name in schema])
            return dict(zip(table.column_names, table.columns, strict=True)), file.metadata.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {_line(error)}") from error


def _check_once(path: pathlib.Path, header: list[str], schema: dict[str, str]) -> None:
    for name in schema:
        if header.count(name) > 1:
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {header.count(name)} times")


def _read_csv(path: pathlib.Path, schema: dict[str, str]):
    with contextlib.closing(csv_rows(path)) as records:
        header = next(records, [])
        _check_once(path, header, schema)
        places = {name: place for place, name in enumerate(header) if name in schema}
        columns: dict[str, list] = {name: [] for name in places}
        num_rows = 0
        for record in records:
            num_rows += 1
            for name, place in places.items():
                columns[name].append(record[place] or None)
    return columns, num_rows


def _read_jsonl(path: pathlib.Path, schema: dict[str, str]):
    records, line = [], ""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                if line.strip():
                    records.append({name: cell for name, cell in json.loads(line).items() if name in schema})
    except (ValueError, AttributeError, RecursionError) as error:
        where = f"table {path.name}, row {len(records)}"
        raise ValueError(f"{where}: expected a JSON object, found {line.strip()[:80]!a}") from error
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {_line(error)}") from error
    present = {name for record in records for name in record}
    return {name: [record.get(name) for record in records] for name in present}, len(records)


_FORMATS = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}
SUFFIXES = tuple(_FORMATS)


def _add_column(table: Table, name: str, kind: str, optional: bool, cells) -> None:
    """Checks one column, from Arrow (Parquet) or a list of Python values, and puts it into the table."""
    if isinstance(cells, list):
        cells = _from_python(table, name, kind, cells)
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


_EXPECTED = {"id": "an id", "key": "an id", "text": "a text", "number": "a number", "list": "a list of texts"}


def _from_python(table: Table, name: str, kind: str, cells: list) -> pa.Array:
    convert = float if kind == "number" and table.name.endswith(".csv") else _CONVERT[kind]
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise table.error(name, row, _EXPECTED[kind], cell) from error
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


_CONVERT = {
    "id": _id,
    "key": _id,
    "text": _bytes,
    "number": _number,
    "list": lambda cell: [_bytes(text) for text in (cell if type(cell) is list else cell.split("|"))],
}


def _check_present(table: Table, name: str, kind: str, cells, row: np.ndarray) -> None:
    if cells.null_count:
        missing = cells.is_null().to_numpy(zero_copy_only=False)
        raise table.error(name, _row_of(missing, row), _EXPECTED[kind], None)


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
    }
    if not fits[kind] and not pa.types.is_null(cells.type):
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        row = int(present.argmax()) if len(present) else 0
        raise table.error(name, row, _EXPECTED[kind], cells[row].as_py() if len(cells) else cells.type)


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
