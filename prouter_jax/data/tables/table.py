"""A table in memory: its text columns, its number columns, and look-ups of ids in other tables.

Messages about its column names: a required column that is missing, columns that are not read.
"""

import dataclasses
import difflib
import functools
import os
import pathlib
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int, Int32, Shaped

from prouter_jax.data.validation import row_error
from prouter_jax.io.display import log_line

_MOST_NAMED = 20
_LONGEST = 80  # characters of a name


@dataclasses.dataclass(frozen=True)
class AllowedIds:
    """The ids that a column may contain.

    Attributes:
      ids: object array of str [ids].
      expected: a description of these ids for error messages, such as "a user_id".
    """

    ids: Shaped[np.ndarray, " ids"]
    expected: str


Allowed = dict[str, AllowedIds]  # by column


@dataclasses.dataclass(frozen=True)
class TextColumn:
    """A column of texts, each distinct text stored once. A row of a list column has several entries.

    Attributes:
      codes: the index of each entry in `values`, -1 for a missing entry.
      values: the distinct texts.
      row: the table row of each entry.
    """

    codes: Int[np.ndarray, " entries"]
    values: pa.Array
    row: Int[np.ndarray, " entries"]


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns that were loaded from a table file.

    Attributes:
      name: the name of the file.
      num_rows: the number of rows, which every column of numbers has.
      names: all columns of the file, also those that were not loaded.
      texts: the columns of ids, texts and lists, by name.
      numbers: the columns of numbers, by name; NaN for a missing number.
    """

    name: str
    num_rows: int
    names: tuple[str, ...]
    texts: dict[str, TextColumn]
    numbers: dict[str, Float64[np.ndarray, " rows"]]

    def strings(self, column: str) -> Shaped[np.ndarray, " rows"]:
        """A text column as an object array of str, "" for missing texts and for a column that is absent."""
        if column not in self.texts:
            return np.full(self.num_rows, "", object)
        texts = self.texts[column]
        return np.append(texts.values.to_numpy(zero_copy_only=False), "")[texts.codes]

    def floats(self, column: str) -> Float64[np.ndarray, " rows"]:
        """A number column, NaN in all rows if the column is absent."""
        return self.numbers.get(column, np.full(self.num_rows, np.nan))

    def find_ids(self, column: str, allowed: AllowedIds) -> Int32[np.ndarray, " entries"]:
        """The index of each entry of a text column in `allowed.ids`, -1 for a missing entry.

        Raises:
          ValueError: naming the first row whose id is not allowed.
        """
        texts = self.texts[column]
        ids = pa.array(allowed.ids, pa.large_string())
        found = pc.index_in(texts.values, value_set=ids)  # pyright: ignore[reportAttributeAccessIssue]
        index = np.append(found.fill_null(-2).to_numpy(zero_copy_only=False), -1).astype(np.int32)[texts.codes]
        if (index == -2).any():
            entry = int((index == -2).argmax())
            raise self.error(column, texts.row[entry], allowed.expected, texts.values[texts.codes[entry]].as_py())
        return index

    def texts_in_row(self, column: str, row: int) -> list[str]:
        """The entries of a text column in one row: the elements of a list, one text, or none if it is missing."""
        texts = self.texts[column]
        return texts.values.take(pa.array(texts.codes[(texts.row == row) & (texts.codes >= 0)])).to_pylist()

    def error(self, column: str, row: int | np.integer, expected: str, found) -> ValueError:
        """An error about one cell; `found` is None for a missing cell."""
        return row_error(self.name, column, int(row), expected, found)


def missing_column(table: str, column: str, names: Sequence[str]) -> ValueError:
    """The error for a required column that is missing.

    Args:
      table: name of the file.
      column: the name, or several names joined by "or".
    """
    found = _listed([_shown(name) for name in names])
    return ValueError(f"table {table}, column {column}: expected this column, found {found}")


def tell_unread(path: str | os.PathLike, names: Sequence[str], known: Collection[str], others: Collection[str]) -> None:
    """Prints one line on stderr if a file has columns that nobody reads: one of them may be misspelt.

    The line comes once in a process, however often the file is read.

    Args:
      others: further columns that need no warning, because another command reads them.
    """
    unread = [name for name in dict.fromkeys(names) if name not in known and name not in others]
    absent = [name for name in known if name not in names]
    if unread:
        _tell_once(str(path), _listed([_with_hint(name, absent) for name in unread]))


@functools.cache
def _tell_once(path: str, unread: str) -> None:
    log_line(f"table {pathlib.PurePath(path).name}: unknown columns are not read: {unread}")


def _with_hint(name: str, absent: list[str]) -> str:
    name = _shown(name)
    near = difflib.get_close_matches(name, absent, 1)
    return f"{name} (did you mean {near[0]}?)" if near else name


def _shown(name: str) -> str:
    """A name in one line, also if it holds line breaks or broken UTF-8."""
    return (name if name.isprintable() else ascii(name))[:_LONGEST]


def _listed(names: Sequence[str]) -> str:
    """The names in one line, of very many the first ones."""
    more = [f"and {len(names) - _MOST_NAMED:,} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more]) or "none"
