"""Table files (.parquet, .csv, .jsonl, .json; texts also with .gz): unchecked cells, and rows one by one.

Rows count from 0 at the first row of data; blank lines of CSV and JSONL do not count.

A JSON array is read element by element, so that memory does not grow with the file: a window of the text is decoded
value by value and moves along the file. It widens only for a value that does not fit. Why not ijson: version 3.6.0
rejects NaN, which pandas and Python write, rejects a file for one byte that is not UTF-8, and crashes the process on a
number of 5,000 digits or 100,000 open brackets.
"""

import collections
import contextlib
import csv
import json
import pathlib
import sys
import zlib
from collections.abc import Collection, Generator
from typing import Any

from prouter_jax.data.tables.file_forms import require_format
from prouter_jax.data.tables.parquet import check_columns, one_line, read_parquet
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import open_text, require_file
from prouter_jax.io.separated import csv_reader

_UNREADABLE = (OSError, EOFError, zlib.error)  # the last two of a damaged .gz
_CHARACTERS = 1 << 20
_LONGEST_TOKEN = 16  # characters: an error further from the window's end than this is not caused by the cut
_AFTER_VALUES = tuple(" \t\n\r,:]}")


def json_elements(path: pathlib.Path, name: str = "") -> Generator[tuple[Any, int], None, None]:
    """Yields the elements of an array, each with its length in characters.

    Bytes that are not UTF-8 become surrogates, so that later checks can name the cell if it is used.

    Args:
      name: the key of the array if the file is an object; "" if the file is the array itself.

    Raises:
      ValueError: naming the file and the element, if the text is not JSON of this form or an object repeats a key.
    """
    row = 0
    try:
        with open_text(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            window = _Window(file)
            for element in _named(window, name) if name else _array(window):
                yield element
                row += 1
            window.take("", "the end of the file")
    except ValueError as error:
        raise ValueError(f"table {path.name}, row {row}: {error}") from error
    except _UNREADABLE as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {one_line(error)}") from error


def json_fields(path: pathlib.Path, names: Collection[str]) -> dict[str, Any]:
    """Some fields of an object in a JSON file; the file is read up to the last of them, and arrays are not kept.

    Damaged JSON after the first character is left to a reader of the whole file, whose message has its place.

    Raises:
      ValueError: naming the file, if it holds no object.
    """
    fields: dict[str, Any] = {}
    try:
        with open_text(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            window = _Window(file)
            window.take("{", "an object")
            with contextlib.suppress(ValueError):
                for name, value in _fields(window):
                    fields |= {name: value} if name in names else {}
                    if len(fields) == len(names):
                        break
    except ValueError as error:
        raise ValueError(f"table {path.name}, row 0: {error}") from error
    except _UNREADABLE as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {one_line(error)}") from error
    return fields


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dictionary; an `object_pairs_hook` for `json` that refuses repeated keys.

    Raises:
      ValueError: naming a repeated key.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected each name once, found {max(names, key=names.count)!r} twice")
    return values


def read_cells(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict, int, list[str]]:
    """Reads the wanted columns that a file has.

    Returns:
      The cells by column, unchecked: an Arrow array (Parquet) or a list of Python values, None for an empty cell.
      The number of rows.
      The names of all columns of the file.

    Raises:
      ValueError: if the file is missing or damaged, or has a wanted column twice.
    """
    return _READERS[require_format(require_file(path))](path, wanted)


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
            for record in csv_reader(file):
                if not record:
                    continue
                header = header or record
                if len(record) != len(header):
                    column = header[min(len(record), len(header) - 1)]
                    raise row_error(path.name, column, row, f"{len(header)} fields", len(record))
                yield record
                row += 1
    except (csv.Error, *_UNREADABLE) as error:
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
    except _UNREADABLE as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {one_line(error)}") from error


def _fields(window: "_Window") -> Generator[tuple[str, Any], None, None]:
    """The names and values of an object whose { is taken; an array is read and None stands for it."""
    for _ in window.separated("}"):
        name = window.value()
        window.take(":", "a colon")
        if window.peek() == "[":
            collections.deque(_array(window), maxlen=0)
            yield name, None
        else:
            yield name, window.value()


def _named(window: "_Window", name: str) -> Generator[tuple[Any, int], None, None]:
    """The elements of the array under one key of an object; other keys are skipped."""
    window.take("{", "an object")
    found = False
    for _ in window.separated("}"):
        key = window.value()
        window.take(":", "a colon")
        if key != name:
            window.value()
        elif found:
            raise ValueError(f"expected {name!r} once, found it twice")
        else:
            found = True
            yield from _array(window)
    if not found:
        raise ValueError(f"expected an array {name!r}, found none")


def _array(window: "_Window") -> Generator[tuple[Any, int], None, None]:
    window.take("[", "an array")
    for _ in window.separated("]"):
        window.peek()
        start = window.position()
        yield window.value(), window.position() - start


class _Window:
    """A part of a text file that moves forward as values are decoded."""

    def __init__(self, file):
        self._file, self._text, self._at, self._before = file, "", 0, 0
        self._decode = json.JSONDecoder(object_pairs_hook=unique_keys).raw_decode

    def position(self) -> int:
        """The number of characters decoded so far."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\n\r":
                    return self._text[self._at]
                self._at += 1
            if not self._read():
                return ""

    def take(self, character: str, expected: str) -> None:
        """Skips the next character, which must be `character`."""
        found = self.peek()
        if found != character:
            raise ValueError(
                f"expected {expected}, found {found!a}" if found else f"expected {expected}, found the end"
            )
        self._at += 1

    def separated(self, end: str) -> Generator[None, None, None]:
        """Yields before each of the values separated by commas, up to the character `end`."""
        if self.peek() != end:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        self.take(end, f"a comma or {end}")

    def value(self) -> Any:
        """Decodes the next value; the file is read on where the window may have cut it."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos + _LONGEST_TOKEN > len(self._text) or error.msg.startswith("Unterminated string")
                if not cut or not self._read():
                    raise ValueError(f"expected readable JSON, found {error.msg}") from error
            except RecursionError as error:
                raise ValueError("expected readable JSON, found it nested too deeply") from error
            else:
                if self._text[end : end + 1] in _AFTER_VALUES or not self._read():
                    self._at = end
                    return value

    def _read(self) -> bool:
        """Drops the decoded text and reads on, at least doubling the rest; returns False at the end of the file."""
        rest = self._text[self._at :]
        more = self._file.read(max(_CHARACTERS, len(rest)))
        self._before += self._at
        self._text, self._at = rest + more, 0
        return bool(more)


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
    return _read_objects(jsonl_rows(path), wanted)


def _read_json(path: pathlib.Path, wanted: Collection[str]) -> tuple[dict[str, list], int, list[str]]:
    return _read_objects(_objects(path), wanted)


def _objects(path: pathlib.Path) -> Generator[tuple[dict, int], None, None]:
    """The elements of a JSON array, which must be objects."""
    with contextlib.closing(json_elements(path)) as elements:
        for row, (element, size) in enumerate(elements):
            if not isinstance(element, dict):
                raise ValueError(f"table {path.name}, row {row}: expected a JSON object, found {str(element)[:80]!a}")
            yield element, size


def _read_objects(
    objects: Generator[tuple[dict, int], None, None], wanted: Collection[str]
) -> tuple[dict[str, list], int, list[str]]:
    names: dict[str, None] = {}  # of all objects, in the order of their appearance
    records = []
    with contextlib.closing(objects) as rows:
        for record, _ in rows:
            names |= dict.fromkeys(record)
            records.append({name: cell for name, cell in record.items() if name in wanted})
    columns = {name: [record.get(name) for record in records] for name in names if name in wanted}
    return columns, len(records), list(names)


_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)
_READERS = {".parquet": read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_json}
