"""A table in memory: its text columns, its number columns, and look-ups of ids in other tables."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int, Int32, Shaped

from prouter_jax.data.validation import row_error


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
