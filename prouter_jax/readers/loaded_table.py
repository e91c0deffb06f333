"""A loaded table: its columns by name, as numbers or as texts of which each distinct one is stored once."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.validation import row_error


@dataclasses.dataclass(frozen=True)
class Known:
    """What a column may refer to: the ids, and the words for them in a complaint."""

    ids: np.ndarray
    expected: str


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts by number: entry i is `values[codes[i]]` (-1 for missing) and stands in row `row[i]` of the table."""

    codes: np.ndarray
    values: pa.Array
    row: np.ndarray


@dataclasses.dataclass(frozen=True)
class Table:
    """The loaded columns of a file, by name: texts of all kinds, and numbers (float64 [rows], NaN where missing)."""

    name: str
    num_rows: int
    texts: dict[str, Texts]
    numbers: dict[str, np.ndarray]

    def strings(self, column: str) -> np.ndarray:
        """Object array of str [rows], "" where missing."""
        if column not in self.texts:
            return np.full(self.num_rows, "", object)
        texts = self.texts[column]
        return np.append(texts.values.to_numpy(zero_copy_only=False), "")[texts.codes]

    def floats(self, column: str) -> np.ndarray:
        """float64 [rows], all of it NaN if there is no such column."""
        return self.numbers.get(column, np.full(self.num_rows, np.nan))

    def rows(self, column: str, known: Known) -> np.ndarray:
        """int32 [entries], the position of each entry in `known.ids`, -1 where missing.

        Raises:
          ValueError: naming the first row with an id that is not there.
        """
        texts = self.texts[column]
        ids = pa.array(known.ids, pa.large_string())
        found = pc.index_in(texts.values, value_set=ids)  # pyright: ignore[reportAttributeAccessIssue]
        position = np.append(found.fill_null(-2).to_numpy(zero_copy_only=False), -1).astype(np.int32)[texts.codes]
        if (position == -2).any():
            entry = int((position == -2).argmax())
            raise self.error(column, texts.row[entry], known.expected, texts.values[texts.codes[entry]].as_py())
        return position

    def listed(self, column: str, row: int) -> list[str]:
        """The texts of a column that stand in a row: those of a list, one or none otherwise."""
        texts = self.texts[column]
        return texts.values.take(pa.array(texts.codes[(texts.row == row) & (texts.codes >= 0)])).to_pylist()

    def error(self, column: str, row: int | np.integer, expected: str, found) -> ValueError:
        return row_error(self.name, column, int(row), expected, found)
