"""Files and cells as a simple reader has them, written from the documents and with nothing of the project.

It is lenient: what it refuses, nobody could read. Where the project reads a file, it must find the same.
"""

import ast
import contextlib
import csv
import io
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq


class Refused(Exception):
    """A file or a cell that cannot be read."""


def raw_rows(path, needed=(), array="", other_widths=False, empty=False):
    """The rows of a file as dictionaries.

    Args:
      needed: columns that a CSV or Parquet file must have.
      array: the key of the rows in a JSON object.
      other_widths: whether rows of CSV with more or fewer cells than the header are left out.
      empty: whether there may be no rows.
    """
    try:
        rows = _READERS["".join(path.suffixes[-1:])](path, other_widths if path.suffix == ".csv" else array)
    except (ValueError, OSError, KeyError, TypeError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise Refused(f"{path.name}: {error}") from error
    if empty and rows == []:
        return []
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise Refused("no rows")
    if path.suffix in (".csv", ".parquet") and not set(needed) <= rows[0].keys():
        raise Refused("a missing column")
    return rows


def text(row, column):
    """A text, "" where it is missing."""
    cell = row.get(column)
    if cell is None:
        return ""
    if not isinstance(cell, str) or any("\ud800" <= letter <= "\udfff" for letter in cell):
        raise Refused(f"{column}: {cell!r:.80}")
    return cell


def needed_text(row, column):
    return text(row, column) or _refuse(column)


def name(row, column):
    """An id: a text that is not empty or a whole number."""
    cell = row.get(column)
    return str(cell) if type(cell) is int else needed_text(row, column)


def number(row, column, low=-math.inf, high=math.inf):
    """A number, None where it is missing."""
    cell = row.get(column)
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return None
    try:
        value = {"True": 1.0, "False": 0.0}[cell] if cell in ("True", "False") else float(cell)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(f"{column}: {cell!r:.80}") from error
    return value if low <= value <= high and math.isfinite(value) else _refuse(column)


def literal(cell):
    """The value of a JSON or Python text, None for other texts."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def objects(row, column):
    """A list of objects, which may be a text."""
    cell = row.get(column)
    cell = literal(cell) if isinstance(cell, str) else cell
    if not isinstance(cell, list) or not all(isinstance(one, dict) for one in cell):
        raise Refused(f"{column}: {cell!r:.80}")
    return cell


def has(row, column):
    return row.get(column) not in (None, "")


def _refuse(column):
    raise Refused(column)


def _decoded(path):
    return path.read_bytes().decode("utf-8-sig", "surrogateescape")


def _csv(path, other_widths):
    csv.field_size_limit(1 << 30)
    rows = [row for row in csv.reader(io.StringIO(_decoded(path), newline=""), strict=True) if row]
    if other_widths:
        rows = [row for row in rows if len(row) == len(rows[0])]
    if len({len(row) for row in rows}) != 1:
        raise Refused("rows of several widths")
    header = rows[0]
    return [{column: row[header.index(column)] for column in header} for row in rows[1:]]


def _jsonl(path, _):
    lines = io.StringIO(_decoded(path), newline=None)
    return [json.loads(line) for line in lines if line.strip()]


def _json(path, array):
    found = json.loads(_decoded(path))
    return found[array] if array else found


def _parquet(path, _):
    """The rows of the columns that can be read: of a damaged file the others may be whole."""
    file, columns = pq.ParquetFile(path), {}
    for column in file.schema_arrow.names:
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            columns[column] = file.read([column])[column].to_pylist()
    rows = range(file.metadata.num_rows)
    columns = {column: cells for column, cells in columns.items() if len(cells) == len(rows)}
    return [{column: cells[row] for column, cells in columns.items()} for row in rows]


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
