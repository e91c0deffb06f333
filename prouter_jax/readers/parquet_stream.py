"""Rows of a Parquet file, so many at a time, whatever its row groups."""

import contextlib
import pathlib
from collections.abc import Generator, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.paths import arrow_file
from prouter_jax.validation import row_error

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
