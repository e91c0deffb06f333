"""Reads files of (user, query) pairs in chunks: .parquet, .csv and .jsonl."""

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Generator, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.cells import is_utf8
from prouter_jax.data.tables.files import csv_rows
from prouter_jax.data.tables.parquet import parquet_size, parquet_tables
from prouter_jax.data.tables.table import missing_column
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import file_size
from prouter_jax.serving.batch.columns import LIST, SCORED_COLUMNS, Chunk, from_arrow, from_python

_MOST_EXACT = 1 << 53  # integers up to this are exact as float64


@dataclasses.dataclass(frozen=True)
class Pairs:
    """An open file of pairs.

    Attributes:
      schema: names and types of all columns.
      count: returns the number of rows; reads the file if necessary.
      chunks: (first, last) -> the rows from `first` to before `last`; None is the end of the file.
    """

    schema: pa.Schema
    count: Callable[[], int]
    chunks: Callable[[int, int | None], Iterator[Chunk]]


def open_pairs(path: pathlib.Path, rows_at_once: int, reserved: tuple[str, ...]) -> Pairs:
    """Opens a file in the format of its suffix.

    Args:
      rows_at_once: largest number of rows in a chunk.
      reserved: names of the output columns, which no input column may have.

    Raises:
      ValueError: on an unreadable file or a missing column; while the chunks are read, on a damaged row.
    """
    pairs = {".parquet": _open_parquet, ".csv": _open_csv, ".jsonl": _open_jsonl}[path.suffix](path, rows_at_once)
    names = pairs.schema.names
    for name in names:
        if name in reserved:
            raise ValueError(f"table {path.name}, column {name}: expected another name, this one is an output column")
        if names.count(name) > 1:
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {names.count(name)} times")
    for needed in (("user_id",), ("query", "query_id")):
        if (names or pairs.count()) and not set(needed) & set(names):
            raise missing_column(path.name, " or ".join(needed), names)
    return pairs


def _open_parquet(path: pathlib.Path, rows_at_once: int) -> Pairs:
    schema, total = parquet_size(path)

    def chunks(first: int, last: int | None) -> Generator[Chunk, None, None]:
        for table in parquet_tables(path, rows_at_once, first, total if last is None else last):
            yield _arrow_chunk(path, table, first, (first + table.num_rows) / total)
            first += table.num_rows

    return Pairs(schema, lambda: total, chunks)


def _arrow_chunk(path: pathlib.Path, table: pa.Table, first: int, fraction: float) -> Chunk:
    present = [name for name in SCORED_COLUMNS if name in table.column_names]
    columns = {name: from_arrow(name, table[name], path.name, first) for name in present}
    return Chunk(columns, {}, lambda: table, fraction)


def _open_csv(path: pathlib.Path, rows_at_once: int) -> Pairs:
    """All columns are strings, so that they are written back unchanged."""
    with contextlib.closing(csv_rows(path)) as records:
        header = next(records, [])
    if not header:
        raise ValueError(f"table {path.name}: expected a header, found an empty file")
    _column(path, "of names", header, pa.string(), -1)
    schema = pa.schema([(name, pa.string()) for name in header])
    return Pairs(schema, lambda: _count_csv(path), functools.partial(_csv_chunks, path, schema, rows_at_once))


def _count_csv(path: pathlib.Path) -> int:
    with contextlib.closing(csv_rows(path)) as records:
        return sum(1 for _ in records) - 1


def _csv_chunks(
    path: pathlib.Path, schema: pa.Schema, rows_at_once: int, first: int, last: int | None
) -> Generator[Chunk, None, None]:
    size, read = file_size(path), 0
    with contextlib.closing(csv_rows(path)) as all_records:
        records = itertools.islice(all_records, first + 1, None if last is None else last + 1)
        while rows := list(itertools.islice(records, rows_at_once)):
            cells = zip(schema.names, zip(*rows, strict=True), strict=True)
            columns = [_column(path, name, list(column), pa.string(), first) for name, column in cells]
            read += sum(pc.sum(pc.binary_length(column)).as_py() + len(rows) for column in columns)  # pyright: ignore[reportAttributeAccessIssue]
            yield _arrow_chunk(path, pa.Table.from_arrays(columns, schema=schema), first, min(read / size, 1.0))
            first += len(rows)


def _column(path: pathlib.Path, name: str, cells: list, kind: pa.DataType, first: int) -> pa.Array:
    try:
        return pa.array(cells, kind)
    except UnicodeEncodeError as error:  # invalid UTF-8 is decoded to surrogates, and JSON can escape them
        row = next(row for row, cell in enumerate(cells) if not is_utf8(str(cell)))
        raise row_error(path.name, name, first + row, "UTF-8 text", cells[row]) from error


def _open_jsonl(path: pathlib.Path, rows_at_once: int) -> Pairs:
    """Reads the whole file first to find its columns and their types: each line can add some."""
    kinds: dict[str, set] = {}
    total = 0
    for _, record in _json_rows(path):
        total += 1
        for name, value in record.items():
            found = kinds.setdefault(name, set())
            if value is not None:
                found.add(_SIMPLE_KINDS.get(type(value)) or _kind(value))
    _column(path, "of names", list(kinds), pa.string(), -1)
    types = {name: _arrow_type(found) for name, found in kinds.items()}
    schema = pa.schema([(name, kind or pa.string()) for name, kind in types.items()])
    return Pairs(schema, lambda: total, functools.partial(_json_chunks, path, types, rows_at_once, total))


def _json_rows(path: pathlib.Path) -> Generator[tuple[str, dict], None, None]:
    """The text and the parsed object of each row; blank lines are skipped."""
    row, line, decode = 0, b"", json.JSONDecoder(parse_constant=_refuse).raw_decode
    try:
        with path.open("rb") as file:
            for line in file:
                text = line.decode("utf-8" if row else "utf-8-sig").strip()
                if text:
                    record, end = decode(text)
                    if type(record) is not dict or end < len(text):
                        raise TypeError
                    yield text, record
                    row += 1
    except (ValueError, TypeError, RecursionError) as error:
        expected = "UTF-8 text" if isinstance(error, UnicodeDecodeError) else "a JSON object"
        raise ValueError(f"table {path.name}, row {row}: expected {expected}, found {line.strip()[:80]}") from error
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {error}") from error


def _refuse(constant: str):
    """Of NaN and Infinity, which are no JSON: rows are written as they were read."""
    raise ValueError(constant)


def _json_chunks(
    path: pathlib.Path,
    types: dict[str, pa.DataType | None],
    rows_at_once: int,
    total: int,
    first: int,
    last: int | None,
) -> Generator[Chunk, None, None]:
    with contextlib.closing(_json_rows(path)) as all_rows:
        rows = itertools.islice(all_rows, first, last)
        while some := list(itertools.islice(rows, rows_at_once)):
            lines, records = [line for line, _ in some], [record for _, record in some]
            bad: dict[int, str] = {}
            present = [name for name in SCORED_COLUMNS if name in types]
            columns = {name: from_python(name, [record.get(name) for record in records], bad) for name in present}
            table = functools.partial(_json_table, path, types, records, first)
            first += len(records)
            yield Chunk(columns, bad, table, first / total, lines)


def _json_table(path: pathlib.Path, types: dict[str, pa.DataType | None], records: list[dict], first: int) -> pa.Table:
    columns = {}
    for name, kind in types.items():
        cells = [record.get(name) for record in records]
        if kind is None:
            cells = [None if cell is None else json.dumps(cell) for cell in cells]
        columns[name] = _column(path, name, cells, kind or pa.string(), first)
    return pa.table(columns)


_SIMPLE_KINDS = {str: "str", float: "float", bool: "bool"}


def _kind(value) -> str:
    """The kind of an integer (exact as float64, as int64 or not), a list of texts, or other JSON."""
    if type(value) is int:
        return "int" if abs(value) <= _MOST_EXACT else "long" if abs(value) < 1 << 63 else "json"
    return "list" if type(value) is list and all(type(text) is str for text in value) else "json"


_ARROW_TYPES = (
    ({"str"}, pa.string()),
    ({"bool"}, pa.bool_()),
    ({"int", "long"}, pa.int64()),
    ({"int", "float"}, pa.float64()),
    ({"list"}, LIST),
)


def _arrow_type(kinds: set[str]) -> pa.DataType | None:
    """The Arrow type that represents all these kinds exactly; None if only JSON text does."""
    return next((kind for fitting, kind in _ARROW_TYPES if kinds <= fitting), None)
