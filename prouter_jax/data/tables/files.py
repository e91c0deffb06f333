"""The file formats of tables (.parquet, .csv, .jsonl): from a file to the bare cells of the wanted columns.

Rows count from 0 at the first row of data; blank lines of CSV and JSONL do not count.
"""

import contextlib
import csv
import json
import os
import pathlib
import sys
from collections.abc import Generator, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data.tables.json_elements import once
from prouter_jax.data.validation import row_error
from prouter_jax.io import files
from prouter_jax.io.paths import arrow_file, open_text

_DECODER = json.JSONDecoder(object_pairs_hook=once)


def read_cells(path: pathlib.Path, schema: dict[str, str]) -> tuple[dict, int]:
    """The cells of those columns of `schema` that are there, and the number of rows.

    Returns:
      By column an Arrow array (Parquet) or a list of Python values, None for an empty cell; not yet checked.
    """
    return _FORMATS[path.suffix](path, schema)


def write_parquet(path: str | os.PathLike, table: pa.Table) -> None:
    """Writes a table whole, with checksums that reading verifies.

    Raises:
      OSError: naming the file, if it cannot be written.
    """
    with files.open_whole(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def csv_rows(path: pathlib.Path) -> Generator[list[str], None, None]:
    """The records of a CSV file, header first, as wide as the header; fields of any length.

    Broken UTF-8 comes through as surrogates, so that the cell with it can be named, if it is wanted at all.
    """
    limit = csv.field_size_limit(sys.maxsize)
    row = -1
    try:
        with open_text(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
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
        raise ValueError(f"table {path.name}{place}: expected readable CSV, found {one_line(error)}") from error
    finally:
        csv.field_size_limit(limit)


def jsonl_rows(path: pathlib.Path) -> Generator[tuple[dict, int], None, None]:
    """The objects of a JSONL file, no name twice in any, each with the length of its line."""
    row, line = 0, ""
    try:
        with open_text(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                if line.strip():
                    record = _DECODER.decode(line)
                    if not isinstance(record, dict):
                        raise ValueError
                    yield record, len(line)
                    row += 1
    except (ValueError, RecursionError) as error:
        where = f"table {path.name}, row {row}"
        raise ValueError(f"{where}: expected a JSON object, found {line.strip()[:80]!a}") from error
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What an error says, fit for a one-line complaint."""
    return " ".join(str(error).split())


def _read_parquet(path: pathlib.Path, schema: dict[str, str]):
    try:
        with pq.ParquetFile(arrow_file(path), page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            _check_once(path, names, schema)
            table, rows = file.read(columns=[name for name in names if name in schema]), file.metadata.num_rows
            if table.num_columns and table.num_rows != rows:
                raise OSError(f"{table.num_rows} rows in place of {rows}")
            return dict(zip(table.column_names, table.columns, strict=True)), rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {one_line(error)}") from error


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
    with contextlib.closing(jsonl_rows(path)) as rows:
        records = [{name: cell for name, cell in record.items() if name in schema} for record, _ in rows]
    present = {name for record in records for name in record}
    return {name: [record.get(name) for record in records] for name in present}, len(records)


_FORMATS = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}
SUFFIXES = tuple(_FORMATS)


_READ_AHEAD = 1 << 20


def parquet_size(path: pathlib.Path) -> tuple[pa.Schema, int]:
    """The columns of a file and its number of rows.

    Raises:
      ValueError: if it is not a Parquet file.
    """
    with _readable(path), _open(path) as file:
        return file.schema_arrow, file.metadata.num_rows


def parquet_tables(
    path: pathlib.Path, rows_at_once: int, first: int, last: int, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The rows from `first` to before `last`, as tables of `rows_at_once` rows; the last may have fewer.

    Args:
      columns: those to read, None for all.

    Raises:
      ValueError: on damage, and on a text that is not UTF-8.
    """
    for batches in _exactly(rows_at_once, _batches(path, rows_at_once, first, last, columns)):
        table = pa.Table.from_batches(batches)
        for name, column in zip(table.column_names, table.columns, strict=True):
            _check_sound(path, name, column, first)
        first += table.num_rows
        yield table


def is_utf8(cell: bytes | str) -> bool:
    """Whether a cell is a text, or one that was read as such, without a broken character."""
    try:
        cell.decode() if isinstance(cell, bytes) else cell.encode()
    except UnicodeError:
        return False
    return True


def _open(path: pathlib.Path) -> pq.ParquetFile:
    """Reads pages as they are needed, not whole row groups: one may be as large as the file."""
    return pq.ParquetFile(arrow_file(path), page_checksum_verification=True, buffer_size=_READ_AHEAD, pre_buffer=False)


@contextlib.contextmanager
def _readable(path: pathlib.Path):
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {found}") from error


def _batches(
    path: pathlib.Path, rows_at_once: int, first: int, last: int, columns: list[str] | None
) -> Generator[pa.RecordBatch, None, None]:
    """The rows from `first` to before `last`, in pieces of any length; row groups beside these are not read."""
    with _open(path) as file:
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        begin, end = np.searchsorted(ends, [first, last - 1], "right")
        skip = first - (int(ends[begin - 1]) if begin else 0)
        left = last - first
        batches = file.iter_batches(rows_at_once, row_groups=range(begin, min(end + 1, len(ends))), columns=columns)
        while left:
            with _readable(path):
                batch = next(batches, None)
            if batch is None:
                raise ValueError(f"table {path.name}: expected a readable Parquet file, found {left} rows too few")
            before = min(skip, batch.num_rows)
            batch = batch.slice(before, left)
            skip, left = skip - before, left - batch.num_rows
            yield batch


def _exactly(rows: int, batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches that together have `rows` rows, again and again, then the rest."""
    held, missing = [], rows
    for batch in batches:
        while batch.num_rows >= missing:
            yield [*held, batch.slice(0, missing)]
            batch = batch.slice(missing)
            held, missing = [], rows
        if batch.num_rows:
            held.append(batch)
            missing -= batch.num_rows
    if held:
        yield held


def _check_sound(path: pathlib.Path, name: str, column: pa.ChunkedArray, first: int) -> None:
    """Arrow believes a file that its texts are UTF-8; whoever reads the output would find that they are not."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        cells = column.cast(pa.large_binary()).to_pylist() if _is_text(column.type) else []
        for row, cell in enumerate(cells):
            if cell is not None and not is_utf8(cell):
                raise row_error(path.name, name, first + row, "UTF-8 text", cell) from error
        found = " ".join(str(error).split())
        raise ValueError(f"table {path.name}, column {name}: expected sound data, found {found}") from error


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
