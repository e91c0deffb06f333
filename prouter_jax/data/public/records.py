"""One record of a file of any format, its cells as what they should be.

A cell that is empty in a CSV, null, or not there at all is missing. Complaints count records from 0.
"""

import collections
import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import numpy as np

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.files import csv_rows, jsonl_rows
from prouter_jax.data.tables.json_elements import json_elements
from prouter_jax.data.tables.parquet import parquet_size, parquet_tables
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import file_size

_BOOLEANS = {"True": 1.0, "False": 0.0}  # as pandas writes them


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The cells of a record by column; `number` is its place in `file`."""

    file: str
    number: int
    cells: dict[str, Any]

    def has(self, column: str) -> bool:
        """Whether there is anything in a cell."""
        cell = self.cells.get(column)
        return cell is not None and cell != ""

    def text(self, column: str) -> str:
        """A text that is not empty."""
        if not self.has(column):
            raise self.error(column, "a text that is not empty", self.cells.get(column))
        return self.text_or_none(column)

    def text_or_none(self, column: str) -> str:
        """The text of a cell that may be missing."""
        text = self.cells.get(column)
        if text is None:
            return ""
        if not isinstance(text, str):
            raise self.error(column, "a text", text)
        return self._sound(column, text)

    def id(self, column: str) -> str:
        """A text or a whole number."""
        cell = self.cells.get(column)
        if type(cell) is int:
            return str(cell)
        if not isinstance(cell, str) or not cell:
            raise self.error(column, "an id", cell)
        return self._sound(column, cell)

    def float(self, column: str, low: float = -np.inf, high: float = np.inf) -> float:
        """A finite number in [low, high], NaN where missing."""
        cell = self.cells.get(column)
        if cell is None or cell == "" or (isinstance(cell, float) and np.isnan(cell)):
            return np.nan
        expected = f"a number in [{low}, {high}]" if high < np.inf else "a finite number"
        expected = "a finite number >= 0" if (low, high) == (0, np.inf) else expected
        try:
            value = _BOOLEANS.get(cell) if isinstance(cell, str) else None
            value = float(cell) if value is None else value
        except (ValueError, TypeError, OverflowError) as error:
            raise self.error(column, expected, cell) from error
        if not (low <= value <= high and abs(value) < np.inf):
            raise self.error(column, expected, value)
        return value

    def whole(self, column: str) -> int:
        """A whole number."""
        value = self.float(column)
        if value != round(value, 0):
            raise self.error(column, "a whole number", self.cells.get(column))
        return int(value)

    def records(self, column: str) -> "list[Record]":
        """A list of objects; complaints about them name the column and this record."""
        cell = self.cells.get(column)
        if not isinstance(cell, list) or not all(isinstance(inner, dict) for inner in cell):
            raise self.error(column, "a list of objects", cell)
        return [Record(f"{self.file}, column {column}", self.number, inner) for inner in cell]

    def vector(self, column: str, others: list[np.ndarray]) -> np.ndarray:
        """float32 [width] from the text "[[0.1 0.2 ...]]", as wide as the others."""
        numbers = re.sub(r"[\[\],]", " ", self.text_or_none(column)).split()
        try:
            vector = np.array(numbers, np.float64)
        except ValueError as error:
            raise self.error(column, "numbers in brackets", self.cells[column]) from error
        if not len(vector) or not (np.abs(vector) < 1e30).all():
            raise self.error(column, "finite numbers in brackets", self.cells[column])
        if others and len(vector) != len(others[0]):
            raise self.error(column, f"{len(others[0])} numbers as before", len(vector))
        return vector.astype(np.float32)

    def error(self, column: str, expected: str, found) -> ValueError:
        """A complaint about a cell."""
        return row_error(self.file, column, self.number, expected, found)

    def _sound(self, column: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.error(column, "UTF-8 text", text) from error
        return text


_ROWS_AT_ONCE = 1000  # of Parquet


def read_records(
    path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
) -> Generator[tuple[Record, float], None, None]:
    """The records with the wanted columns, and about how many bytes of the file each took.

    Args:
      needed: columns that a table must have; an object of JSON that lacks one has none in that record.
      optional: columns that may be missing.
      array: of a .json file, the name of the array in the object that it is; "" if the file is an array.

    Raises:
      ValueError: one line that names the file and, where there is one, the record.
    """
    wanted = (*needed, *optional)
    if path.suffix not in _READ:
        raise ValueError(f"table {path.name}: expected one of {', '.join(_READ)}, found {path.suffix!r}")
    number = -1
    with contextlib.closing(_READ[path.suffix](path, tuple(needed), wanted, array)) as found:
        for number, (cells, size) in enumerate(found):
            yield Record(path.name, number, cells), size
    if number < 0:
        raise ValueError(f"table {path.name}: expected at least one row, found none")


def header(path: pathlib.Path) -> list[str]:
    """The names of the columns of a .csv or .parquet file.

    Raises:
      ValueError: if it cannot be read, or is of another kind.
    """
    if path.suffix == ".parquet":
        return parquet_size(path)[0].names
    if path.suffix != ".csv":
        raise ValueError(f"table {path.name}: expected .csv or .parquet, found {path.suffix!r}")
    with contextlib.closing(csv_rows(path)) as rows:
        return next(rows, [])


_Cells = Generator[tuple[dict, float], None, None]


def _csv(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    with contextlib.closing(csv_rows(path)) as rows:
        names = next(rows, [])
        _check_once(path, names, needed, wanted)
        places = {name: names.index(name) for name in wanted if name in names}
        for row in rows:
            yield {name: row[place] for name, place in places.items()}, sum(map(len, row)) + len(row)


def _jsonl(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    del needed  # what an object lacks is missing in its record alone
    with contextlib.closing(jsonl_rows(path)) as rows:
        for cells, size in rows:
            yield {name: cells.get(name) for name in wanted}, size


def _json(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], array: str) -> _Cells:
    del needed
    with contextlib.closing(json_elements(path, array)) as elements:
        for row, (cells, size) in enumerate(elements):
            if not isinstance(cells, dict):
                raise ValueError(f"table {path.name}, row {row}: expected a JSON object, found {str(cells)[:80]!a}")
            yield {name: cells.get(name) for name in wanted}, size


def _parquet(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    schema, total = parquet_size(path)
    _check_once(path, schema.names, needed, wanted)
    columns = [name for name in wanted if name in schema.names]
    size = file_size(path) / max(total, 1)
    for table in parquet_tables(path, _ROWS_AT_ONCE, 0, total, columns):
        yield from ((cells, size) for cells in table.to_pylist())


_READ = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".json": _json}


def _check_once(path: pathlib.Path, names: list[str], needed: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """What is needed must be there; nothing that is wanted may be there twice."""
    for name in wanted:
        times = names.count(name)
        if times > 1 or (times == 0 and name in needed):
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {times} times")


OnProgress = Callable[[int, float], None]  # records so far, share of the bytes
_RECORDS_BETWEEN_CALLS = 5000


@dataclasses.dataclass(frozen=True)
class Read:
    """What was made of some files.

    Attributes:
      files: those that were read.
      records: how many they hold.
      dropped: what is not in the data, in words, and how many of them.
    """

    data: Interactions
    files: tuple[pathlib.Path, ...]
    records: int
    dropped: dict[str, int]


@contextlib.contextmanager
def of_folder(name: str) -> Iterator[None]:
    """Complaints about a file say which folder it is in, where many hold files of the same name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"folder {name}, {error}") from error


class FileSet:
    """Reads some files record by record.

    Args:
      paths: of the files.
      on_progress: called now and then with the records so far and the share of the bytes.
    """

    def __init__(self, paths: Iterable[pathlib.Path], on_progress: OnProgress | None = None):
        self.paths = tuple(paths)
        self.records = 0
        self.dropped: collections.Counter[str] = collections.Counter()
        self._on_progress = on_progress
        self._size, self._done = 0, 0.0

    def read(
        self, path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
    ) -> Iterator[Record]:
        """The records of one of the files, as `read_records` has them."""
        for record, size in read_records(path, needed, optional, array):
            yield record
            self.records += 1
            self._done += size
            if self._on_progress and self.records % _RECORDS_BETWEEN_CALLS == 0:
                self._size = self._size or sum(file_size(path) for path in self.paths)
                self._on_progress(self.records, min(self._done / max(self._size, 1), 1.0))

    def drop(self, what: str, times: int = 1) -> None:
        """Counts what does not get into the data."""
        if times:
            self.dropped[what] += times

    def result(self, data: Interactions) -> Read:
        """The data with these counts."""
        return Read(data, self.paths, self.records, dict(self.dropped))

    def nothing_left(self, expected: str) -> ValueError:
        """The complaint about files of which everything was dropped."""
        found = ", ".join(f"{times} {what}" for what, times in self.dropped.items()) or "none"
        return ValueError(f"table {self.paths[0].name}: expected {expected}, found {found}")
