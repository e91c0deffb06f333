"""Table files (.parquet, .csv, .jsonl): the unchecked cells of chosen columns, and the rows of CSV and JSONL files.

Rows count from 0 at the first row of data; blank lines of CSV and JSONL do not count.
"""

import contextlib
import csv
import json
import pathlib
import sys
from collections.abc import Collection, Generator

from prouter_jax.data.tables.json_elements import unique_keys
from prouter_jax.data.tables.parquet import check_columns, one_line, read_parquet
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import open_text, require_file

_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)


def read_cells(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict, int, list[str]]:
    """Reads the wanted columns that a file has.

    Args:
      path: a file with one of `SUFFIXES`.
      wanted: names of columns.

    Returns:
      The cells by column, unchecked: an Arrow array (Parquet) or a list of Python values, None for an empty cell.
      The number of rows.
      The names of all columns of the file.

    Raises:
      ValueError: if the file is missing or damaged, or has a wanted column twice.
    """
    return _READERS[path.suffix](require_file(path), wanted)


def csv_rows(path: pathlib.Path) -> Generator[list[str], None, None]:
    """The rows of a CSV file, header first. All have the width of the header; fields have any length.

    Bytes that are not UTF-8 become surrogates, so that later checks can name the cell if its column is used.

    Raises:
      ValueError: if the file is damaged or a row has another width.
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
        at = f", row {row}" if row >= 0 else ""
        raise ValueError(f"table {path.name}{at}: expected readable CSV, found {one_line(error)}") from error
    finally:
        csv.field_size_limit(limit)


def jsonl_rows(path: pathlib.Path) -> Generator[tuple[dict, int], None, None]:
    """The objects of a JSONL file, each with the length of its line in characters.

    Bytes that are not UTF-8 become surrogates, as in `csv_rows`.

    Raises:
      ValueError: if the file cannot be read, or a line is not a JSON object with unique keys.
    """
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


def _read_csv(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict[str, list], int, list[str]]:
    with contextlib.closing(csv_rows(path)) as records:
        header = next(records, [])
        check_columns(path, header, wanted)
        positions = {name: position for position, name in enumerate(header) if name in wanted}
        columns: dict[str, list] = {name: [] for name in positions}
        num_rows = 0
        for record in records:
            num_rows += 1
            for name, position in positions.items():
                columns[name].append(record[position] or None)
    return columns, num_rows, header


def _read_jsonl(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict[str, list], int, list[str]]:
    names: dict[str, None] = {}  # of all objects, in the order of their appearance
    records = []
    with contextlib.closing(jsonl_rows(path)) as rows:
        for record, _ in rows:
            names |= dict.fromkeys(record)
            records.append({name: cell for name, cell in record.items() if name in wanted})
    columns = {name: [record.get(name) for record in records] for name in names if name in wanted}
    return columns, len(records), list(names)


_READERS = {".parquet": read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}
SUFFIXES = tuple(_READERS)
