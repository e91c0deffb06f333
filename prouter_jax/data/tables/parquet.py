"""Parquet files: whole tables, chosen columns, and rows in chunks of bounded memory."""

import contextlib
import os
import pathlib
from collections.abc import Collection, Generator, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data.cells import is_utf8
from prouter_jax.data.tables.table import missing_column
from prouter_jax.data.validation import row_error
from prouter_jax.io import files
from prouter_jax.io.paths import arrow_file

_READ_AHEAD = 1 << 20  # bytes


def write_parquet(path: str | os.PathLike, table: pa.Table) -> None:
    """Writes a table as a whole or not at all, with page checksums that reading verifies.

    Raises:
      OSError: naming the file, if it cannot be written.
    """
    with files.open_whole(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_parquet(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict[str, pa.ChunkedArray], int, list[str]]:
    """The wanted columns that a file has, its number of rows and the names of all its columns.

    Raises:
      ValueError: if the file is damaged or has a wanted column twice.
    """
    with _one_line_errors(path), pq.ParquetFile(arrow_file(path), page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        check_columns(path, names, wanted)
        table, rows = file.read(columns=[name for name in names if name in wanted]), file.metadata.num_rows
        if table.num_columns and table.num_rows != rows:
            raise OSError(f"{table.num_rows} rows in place of {rows}")
        return dict(zip(table.column_names, table.columns, strict=True)), rows, names


def check_columns(path: pathlib.Path, names: list[str], wanted: Iterable[str], required: Collection[str] = ()) -> None:
    """Checks that a table file has no wanted column twice and every required column once.

    Raises:
      ValueError: naming the first column that is repeated or missing.
    """
    for name in wanted:
        times = names.count(name)
        if times == 0 and name in required:
            raise missing_column(path.name, name, names)
        if times > 1:
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {times} times")


def parquet_size(path: pathlib.Path) -> tuple[pa.Schema, int]:
    """The schema of a file and its number of rows.

    Raises:
      ValueError: if it is not a Parquet file, or its footer counts other rows than its row groups: some would be lost.
    """
    with _one_line_errors(path), _open(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        in_groups = sum(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
    if rows != in_groups:
        found = f"{rows:,} rows by its footer and {in_groups:,} in its row groups"
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {found}")
    return schema, rows


def parquet_tables(
    path: pathlib.Path, rows_at_once: int, first: int, last: int, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Reads the rows from `first` up to and without `last` in chunks.

    Args:
      rows_at_once: the rows of each chunk; the last chunk may have fewer.
      columns: the columns to read, None for all.

    Raises:
      ValueError: if the file is damaged or a text is not UTF-8.
    """
    for batches in _regroup(rows_at_once, _batches(path, rows_at_once, first, last, columns)):
        table = pa.Table.from_batches(batches)
        for name, column in zip(table.column_names, table.columns, strict=True):
            _check_valid(path, name, column, first)
        first += table.num_rows
        yield table


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def _one_line_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {one_line(error)}") from error


def _open(path: pathlib.Path) -> pq.ParquetFile:
    """Opens a file to read page by page: a row group may be as large as the file."""
    return pq.ParquetFile(arrow_file(path), page_checksum_verification=True, buffer_size=_READ_AHEAD, pre_buffer=False)


def _batches(
    path: pathlib.Path, rows_at_once: int, first: int, last: int, columns: list[str] | None
) -> Generator[pa.RecordBatch, None, None]:
    """The rows from `first` up to `last` in batches of any length; other row groups are not read."""
    with _open(path) as file:
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        begin, end = np.searchsorted(ends, [first, last - 1], "right")
        skip = first - (int(ends[begin - 1]) if begin else 0)
        left = last - first
        batches = file.iter_batches(rows_at_once, row_groups=range(begin, min(end + 1, len(ends))), columns=columns)
        while left:
            with _one_line_errors(path):
                batch = next(batches, None)
            if batch is None:
                raise ValueError(f"table {path.name}: expected a readable Parquet file, found {left} rows too few")
            before = min(skip, batch.num_rows)
            batch = batch.slice(before, left)
            skip, left = skip - before, left - batch.num_rows
            yield batch


def _regroup(rows: int, batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Regroups batches into lists of `rows` rows each; the last list may have fewer."""
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


def _check_valid(path: pathlib.Path, name: str, column: pa.ChunkedArray, first: int) -> None:
    """Checks cells that Arrow reads unchecked, such as UTF-8. `first` is the row of the first cell in the file."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        for row, cell in enumerate(column.cast(pa.large_binary()).to_pylist() if is_text else []):
            if cell is not None and not is_utf8(cell):
                raise row_error(path.name, name, first + row, "UTF-8 text", cell) from error
        raise ValueError(f"table {path.name}, column {name}: expected sound data, found {one_line(error)}") from error
