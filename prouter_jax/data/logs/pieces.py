"""Consecutive rows of a log file, with the place of each, and checks of the columns of a file."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from prouter_jax.data.logs.fields import REQUIRED, nearest

Columns = dict[str, tuple[str, ...]]
"""Names or paths of the columns of each field."""
Expand = Callable[[dict], list[dict]]
"""From a JSON object of a file to the rows that it stands for."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Consecutive rows.

    Attributes:
      table: the rows; a column for each name or path that was found, of any type.
      number: int [rows], the number of each row in the file, counted from 1: its line in a text file.
      dropped: the reason and the number of each row that could not be read.
    """

    table: pa.Table
    number: np.ndarray
    dropped: list[tuple[str, int]]


@dataclasses.dataclass(frozen=True)
class Piece(Rows):
    """Consecutive rows of a file.

    Attributes:
      file: the path of the file.
      unit: "line", "row" or "element", which the numbers of the rows count.
      share: share of the file up to the end of this piece.
      names: the columns of the file, or the paths of the cells seen so far.
    """

    file: str
    unit: str
    share: float = 1.0
    names: Iterable[str] = ()

    def place(self, number: int) -> str:
        """The place of a row, for messages."""
        return f"{self.file}, {self.unit} {number}"


def check_columns(file: str, columns: Columns, names: Iterable[str], found: Iterable[str]) -> None:
    """Checks that there are columns of users, queries and served LLMs.

    Args:
      file: the path of the file.
      names: all columns and paths of the file, for the message.
      found: those of `columns` that the file has.

    Raises:
      ValueError: naming the columns that were expected and those there are.
    """
    for fields in REQUIRED:
        wanted = [name for field in fields for name in columns[field]]
        if not set(found) & set(wanted):
            there = ", ".join(sorted(set(names)))[:200] if len(wanted) > 1 else nearest(wanted[0], names)
            hint = f"--columns={fields[0]}=COLUMN or --preset"
            raise ValueError(
                f"log {file}: expected a column {' or '.join(wanted)} (or {hint}), found {there or 'none'}"
            )


def check_once(file: str, columns: Columns, names: list[str]) -> None:
    """Checks that no column of `columns` stands in a file twice."""
    for name in {name for of_field in columns.values() for name in of_field}:
        if names.count(name) > 1:
            raise ValueError(f"log {file}, column {name}: expected it once, found it {names.count(name)} times")
