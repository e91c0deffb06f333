"""One record of a file of any format, its cells as what they should be.

A cell that is empty in a CSV, null, or not there at all is missing. Complaints count records from 0.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from prouter_jax.validation import row_error

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
