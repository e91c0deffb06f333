"""Reads logs in CSV and Parquet in pieces of bounded size."""

import contextlib
import csv
import io
import itertools
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data import cells
from prouter_jax.data.logs.fields import column_at, roots
from prouter_jax.data.logs.pieces import Columns, Piece, check_columns, check_once
from prouter_jax.data.logs.source import Source
from prouter_jax.data.tables.parquet import one_line
from prouter_jax.io.paths import arrow_file
from prouter_jax.io.separated import csv_reader

OTHER_WIDTH = "another number of cells than the header has"
NOT_UTF8 = "text that is not UTF-8"
"""Reasons of dropped lines of a CSV file."""
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1 << 15, 16 << 20  # of a piece
_FEWEST_ROWS, _MOST_ROWS, _BATCH_BYTES = 16, 1024, 1 << 20  # of a batch of a Parquet file
_READ_AHEAD = 1 << 20


def csv_pieces(path: pathlib.Path, columns: Columns) -> Iterator[Piece]:
    """Reads a CSV file; see `reader.read_pieces`."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with Source(path) as source, io.TextIOWrapper(source.file, "utf-8-sig", "surrogateescape", newline="") as text:
            reader = csv_reader(text)
            header = next(reader, [])
            if not all(map(cells.is_utf8, header)):
                raise ValueError(f"log {path}: expected a header in UTF-8, found {','.join(header)[:40]!a}")
            check_once(str(path), columns, header)
            checked = False
            while (rows := _read_rows(reader, len(header))) is not None:
                number, lines, dropped = _only_utf8(*rows, header, columns)
                table = pa.table({name: _column([line[at] for line in lines]) for at, name in enumerate(header)})
                table = _select(table, columns)
                if not checked:
                    check_columns(str(path), columns, header, table.column_names)
                    checked = True
                yield Piece(table, number, dropped, str(path), "line", source.share, header)
            if not checked:
                check_columns(str(path), columns, header, header)
    except csv.Error as error:
        raise ValueError(f"log {path}: expected readable CSV, found {one_line(error)}") from error
    finally:
        csv.field_size_limit(limit)


def parquet_pieces(path: pathlib.Path, columns: Columns) -> Iterator[Piece]:
    """Reads a Parquet file page by page, since a row group may be as large as the file; see `reader.read_pieces`."""
    with _readable(path):
        options = {"page_checksum_verification": True, "buffer_size": _READ_AHEAD, "pre_buffer": False}
        file = pq.ParquetFile(arrow_file(path), **options)
    with file:
        schema = file.schema_arrow
        check_once(str(path), columns, schema.names)
        wanted = roots(schema.names, [name for names in columns.values() for name in names])
        check_columns(str(path), columns, schema.names, _found(schema.empty_table().select(wanted), columns))
        done, total = 0, max(file.metadata.num_rows, 1)
        for table in _regroup(_batches(path, file, wanted)):
            number = 1 + done + np.arange(table.num_rows)
            done += table.num_rows
            yield Piece(_select(table, columns), number, [], str(path), "row", done / total, schema.names)


def _read_rows(reader, width: int) -> tuple[np.ndarray, list[list[str]], list[tuple[str, int]]] | None:
    """The lines of the next rows, their cells, and the rows of another width; None at the end of the file."""
    numbers, lines, dropped, size, line = [], [], [], 0, reader.line_num + 1
    for row in reader:
        if row and len(row) == width:
            numbers.append(line)
            lines.append(row)
            size += sum(map(len, row))
        elif row:
            dropped.append((OTHER_WIDTH, line))
        line = reader.line_num + 1
        if size > _BYTES_AT_ONCE or len(lines) == _ROWS_AT_ONCE:
            break
    return (np.array(numbers, np.int64), lines, dropped) if lines or dropped else None


def _only_utf8(
    number: np.ndarray, lines: list[list[str]], dropped: list[tuple[str, int]], header: list[str], columns: Columns
) -> tuple[np.ndarray, list[list[str]], list[tuple[str, int]]]:
    """The rows whose cells in the columns of a log are UTF-8; a single byte does not cost the others."""
    names = [name for of_field in columns.values() for name in of_field]
    wanted = [header.index(name) for name in roots(header, names)]
    if all(cells.is_utf8("".join([line[at] for line in lines])) for at in wanted):
        return number, lines, dropped
    good = [all(cells.is_utf8(line[at]) for at in wanted) for line in lines]
    odd = [(NOT_UTF8, int(line)) for line, fine in zip(number, good, strict=True) if not fine]
    return (
        number[good],
        [line for line, fine in zip(lines, good, strict=True) if fine],
        sorted([*dropped, *odd], key=lambda one: one[1]),
    )


def _column(found: list[str]) -> pa.Array:
    return cells.column_of([cell or None for cell in found])


def _found(table: pa.Table, columns: Columns) -> list[str]:
    """The names and paths that a table without rows has; below texts and maps any path may be there."""
    names = [name for of_field in columns.values() for name in of_field]
    return [name for name in names if column_at(table, name) is not None]


def _select(table: pa.Table, columns: Columns) -> pa.Table:
    """The columns with the names or paths that are asked for, under these names."""
    names = [name for of_field in columns.values() for name in of_field]
    found = {name: column_at(table, name) for name in names}
    return pa.table({name: column for name, column in found.items() if column is not None})


def _batches(path: pathlib.Path, file: pq.ParquetFile, wanted: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of few rows where rows are long, as the first ones show."""
    rows = _FEWEST_ROWS
    with _readable(path):
        for batch in itertools.islice(file.iter_batches(rows, columns=wanted), 1):
            long = batch.nbytes / max(batch.num_rows, 1)
            rows = int(min(max(_BATCH_BYTES / max(long, 1), _FEWEST_ROWS), _MOST_ROWS))
        batches = file.iter_batches(rows, columns=wanted)
    while True:
        with _readable(path):
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)  # Arrow does not check by itself that texts are UTF-8
        yield batch


def _regroup(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of about `_BYTES_AT_ONCE` bytes, and at most `_ROWS_AT_ONCE` rows."""
    held, size, rows = [], 0, 0
    for batch in batches:
        held.append(batch)
        size, rows = size + batch.nbytes, rows + batch.num_rows
        if size > _BYTES_AT_ONCE or rows + _MOST_ROWS > _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, size, rows = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"log {path}: expected a readable Parquet file, found {one_line(error)}") from error
