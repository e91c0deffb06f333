"""The file formats of tables (.parquet, .csv, .jsonl): from a file to the bare cells of the wanted columns.

Rows count from 0 at the first row of data; blank lines of CSV and JSONL do not count.
"""

import contextlib
import csv
import json
import os
import pathlib
import sys
from collections.abc import Generator

import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax import files
from prouter_jax.paths import arrow_file, open_text
from prouter_jax.readers.json_elements import once
from prouter_jax.validation import row_error

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
