"""Records of the files of public data sets, read with progress, and counts of the records and of dropped items."""

import collections
import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

from prouter_jax.data.cells import to_python
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.literals import parse_value
from prouter_jax.data.tables.file_forms import require_format
from prouter_jax.data.tables.files import csv_rows, json_elements, jsonl_rows
from prouter_jax.data.tables.parquet import check_columns, parquet_size, parquet_tables
from prouter_jax.data.thoughts import strip_all
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import file_size, require_file

_BOOLEANS = {"True": 1.0, "False": 0.0}  # as pandas writes them
_ROWS_AT_ONCE = 1000  # rows of a Parquet file in memory

ProgressCallback = Callable[[int, float], None]  # called with the records read and the share of bytes read, 0 to 1
_RECORDS_BETWEEN_CALLS = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Every method that reads a cell raises ValueError if the cell is not as described, naming file, column and record.

    Attributes:
      file: the name of the file, for error messages.
      number: the position of the record in the file, from 0.
      cells: the unchecked values by column.
    """

    file: str
    number: int
    cells: dict[str, Any]

    def has(self, column: str) -> bool:
        """Whether a cell is not missing."""
        cell = self.cells.get(column)
        return cell is not None and cell != ""

    def text(self, column: str) -> str:
        """The text of a cell, which must not be empty."""
        if not self.has(column):
            raise self.error(column, "a text that is not empty", self.cells.get(column))
        return self.text_or_empty(column)

    def text_or_empty(self, column: str) -> str:
        """The text of a cell, "" if it is missing."""
        text = self.cells.get(column)
        if text is None:
            return ""
        if not isinstance(text, str):
            raise self.error(column, "a text", text)
        return self._check_utf8(column, text)

    def id(self, column: str) -> str:
        """An id as a text; the cell is a text or a whole number."""
        cell = self.cells.get(column)
        if type(cell) is int:
            return str(cell)
        if not isinstance(cell, str) or not cell:
            raise self.error(column, "an id", cell)
        return self._check_utf8(column, cell)

    def float(self, column: str, low: float = -np.inf, high: float = np.inf) -> float:
        """A finite number in [low, high], NaN if the cell is missing. True and False count as 1 and 0."""
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
        """A whole number; the cell must not be missing."""
        value = self.float(column)
        if value != round(value, 0):
            raise self.error(column, "a whole number", self.cells.get(column))
        return int(value)

    def flag(self, column: str) -> bool:
        """Whether a cell is true: True, 1 or a text of them; a missing cell is false."""
        return self.float(column, 0, 1) == 1

    def records(self, column: str) -> "list[Record]":
        """The records of a cell that holds a list of objects; their errors name the column and this record."""
        cell = self.cells.get(column)
        cell = parse_value(cell) if isinstance(cell, str) else cell
        if not isinstance(cell, list) or not all(isinstance(inner, dict) for inner in cell):
            raise self.error(column, "a list of objects", self.cells.get(column))
        return [Record(f"{self.file}, column {column}", self.number, inner) for inner in cell]

    def vector(self, column: str, others: list[Float32[np.ndarray, " width"]]) -> Float32[np.ndarray, " width"]:
        """A vector from a text such as "[[0.1 0.2 ...]]", as wide as the other vectors."""
        numbers = re.sub(r"[\[\],]", " ", self.text_or_empty(column)).split()
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
        """An error about one cell."""
        return row_error(self.file, column, self.number, expected, found)

    def _check_utf8(self, column: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.error(column, "UTF-8 text", text) from error
        return text


def read_records(
    path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
) -> Generator[tuple[Record, float], None, None]:
    """Yields the records of a file, each with its approximate size in the file in bytes.

    Args:
      path: a .csv, .jsonl, .json or .parquet file, texts also with .gz.
      needed: columns that a CSV or Parquet file must have. In JSON each record may lack some.
      optional: columns that the file may have. Other columns are not read.
      array: for a .json file that is an object, the key of the array of records; "" if the file is an array.

    Raises:
      ValueError: one line that names the file and, where there is one, the record.
    """
    wanted = (*needed, *optional)
    form = require_format(path)
    number = -1
    with contextlib.closing(_READERS[form](require_file(path), tuple(needed), wanted, array)) as found:
        for number, (cells, size) in enumerate(found):
            yield Record(path.name, number, cells), size
    if number < 0:
        raise ValueError(f"table {path.name}: expected at least one row, found none")


def column_names(path: pathlib.Path) -> list[str]:
    """The column names of a .csv or .parquet file.

    Raises:
      ValueError: if the file is damaged or has another suffix.
    """
    if require_format(path, (".csv", ".parquet")) == ".parquet":
        return parquet_size(require_file(path))[0].names
    with contextlib.closing(csv_rows(require_file(path))) as rows:
        return next(rows, [])


_Cells = Generator[tuple[dict, float], None, None]


@dataclasses.dataclass(frozen=True)
class PublicData:
    """A data set that was read from its files.

    Attributes:
      data: the data.
      files: the files that were read.
      records: the number of records in the files.
      dropped: the number of items that are not in the data, by reason.
    """

    data: Interactions
    files: tuple[pathlib.Path, ...]
    records: int
    dropped: dict[str, int]


@contextlib.contextmanager
def errors_name_folder(name: str) -> Iterator[None]:
    """Adds the name of a folder to errors, for data sets with files of the same name in many folders."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"folder {name}, {error}") from error


class FileSet:
    """Reads the files of a data set record by record.

    Attributes:
      paths: the files.
      records: the number of records read so far.
      dropped: the number of dropped items by reason.
    """

    def __init__(self, paths: Iterable[pathlib.Path], on_progress: ProgressCallback | None = None):
        """
        Args:
          on_progress: called after every 500 records.
        """
        self.paths = tuple(paths)
        self.records = 0
        self.dropped: collections.Counter[str] = collections.Counter()
        self._on_progress = on_progress
        self._size, self._done = 0, 0.0

    def read(
        self, path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
    ) -> Iterator[Record]:
        """Yields the records of one of the files; arguments and errors are those of `read_records`."""
        for record, size in read_records(path, needed, optional, array):
            yield record
            self.records += 1
            self._done += size
            if self._on_progress and self.records % _RECORDS_BETWEEN_CALLS == 0:
                self._size = self._size or sum(file_size(path) for path in self.paths)
                self._on_progress(self.records, min(self._done / max(self._size, 1), 1.0))

    def read_all(self, needed: Iterable[str], optional: Iterable[str] = (), array: str = "") -> Iterator[Record]:
        """Yields the records of all files, one file after the other, as `read`."""
        for path in self.paths:
            yield from self.read(path, needed, optional, array)

    def drop(self, reason: str, number: int = 1) -> None:
        """Counts items that are dropped from the data."""
        if number:
            self.dropped[reason] += number

    def result(self, data: Interactions) -> PublicData:
        """The data with the counts so far; the answers are without what the models thought aloud."""
        if data.outcomes.response is not None:
            answers, thoughts = strip_all(data.outcomes.response)
            self.drop("thoughts of models before their answers", thoughts)
            data = data.replace(outcomes=dataclasses.replace(data.outcomes, response=answers))
        return PublicData(data, self.paths, self.records, dict(self.dropped))

    def empty_error(self, expected: str) -> ValueError:
        """The error for files from which everything was dropped; it lists the reasons."""
        found = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items()) or "none"
        return ValueError(f"table {self.paths[0].name}: expected {expected}, found {found}")


def _csv(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _array: str) -> _Cells:
    with contextlib.closing(csv_rows(path)) as rows:
        names = next(rows, [])
        check_columns(path, names, wanted, needed)
        positions = {name: names.index(name) for name in wanted if name in names}
        for row in rows:
            yield {name: row[position] for name, position in positions.items()}, sum(map(len, row)) + len(row)


def _jsonl(path: pathlib.Path, _needed: tuple[str, ...], wanted: tuple[str, ...], _array: str) -> _Cells:
    with contextlib.closing(jsonl_rows(path)) as rows:
        for cells, size in rows:
            yield {name: cells.get(name) for name in wanted}, size


def _json(path: pathlib.Path, _needed: tuple[str, ...], wanted: tuple[str, ...], array: str) -> _Cells:
    with contextlib.closing(json_elements(path, array)) as elements:
        for row, (cells, size) in enumerate(elements):
            if not isinstance(cells, dict):
                raise ValueError(f"table {path.name}, row {row}: expected a JSON object, found {str(cells)[:80]!a}")
            yield {name: cells.get(name) for name in wanted}, size


def _parquet(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _array: str) -> _Cells:
    schema, total = parquet_size(path)
    check_columns(path, schema.names, wanted, needed)
    columns = [name for name in wanted if name in schema.names]
    size = file_size(path) / max(total, 1)
    for table in parquet_tables(path, _ROWS_AT_ONCE, 0, total, columns):
        columns = map(to_python, table.columns)
        yield from ((dict(zip(table.column_names, row, strict=True)), size) for row in zip(*columns, strict=True))


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".json": _json}
