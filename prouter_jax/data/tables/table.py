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
from jaxtyping import Bool, Float64, Int, Int32, Shaped

from prouter_jax.data.tables.names import first_unknown, split_names
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
      joined: whether an entry is a text that lists names: "a|b", "a;b" or '["a", "b"]'.
    """

    codes: Int[np.ndarray, " entries"]
    values: pa.Array
    row: Int[np.ndarray, " entries"]
    joined: bool = False

    def take(self, keep: Bool[np.ndarray, " rows"]) -> "TextColumn":
        """The entries of some rows, which are numbered anew, and their texts."""
        entries = keep[self.row]
        codes = self.codes[entries]
        used = np.unique(codes[codes >= 0])
        new = np.full(len(self.values) + 1, -1)
        new[used] = np.arange(len(used))
        rows = (np.cumsum(keep) - 1)[self.row[entries]]
        return TextColumn(new[codes], self.values.take(pa.array(used, pa.int64())), rows, self.joined)


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns that were loaded from a table file.

    Attributes:
      name: the name of the file.
      num_rows: the number of rows, which every column of numbers has.
      names: all columns of the file, also those that were not loaded.
      texts: the columns of ids, texts and lists, by name.
      numbers: the columns of numbers, by name; NaN for a missing number.
      parts: of a table of several files, the name of each and its first row; empty for one file.
      origin: the row of the file of each row, if rows were left out.
    """

    name: str
    num_rows: int
    names: tuple[str, ...]
    texts: dict[str, TextColumn]
    numbers: dict[str, Float64[np.ndarray, " rows"]]
    parts: tuple[tuple[str, int], ...] = ()
    origin: Int[np.ndarray, " rows"] | None = None

    def take(self, keep: Bool[np.ndarray, " rows"]) -> "Table":
        """The table without the rows whose `keep` is False; errors still count the rows of the file."""
        origin = np.arange(self.num_rows) if self.origin is None else self.origin
        return dataclasses.replace(
            self,
            num_rows=int(keep.sum()),
            texts={name: column.take(keep) for name, column in self.texts.items()},
            numbers={name: column[keep] for name, column in self.numbers.items()},
            origin=origin[keep],
        )

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

        An id that is not there counts without a ".0" at its end: pandas makes floats of a column with a gap.

        Raises:
          ValueError: naming the first row whose id is not allowed.
        """
        texts = self.texts[column]
        ids = pa.array(allowed.ids, pa.large_string())
        found = pc.index_in(texts.values, value_set=ids)  # pyright: ignore[reportAttributeAccessIssue]
        if found.null_count:
            whole = pc.replace_substring_regex(texts.values, r"^(\d+)\.0$", r"\1")  # pyright: ignore[reportAttributeAccessIssue]
            found = pc.coalesce(found, pc.index_in(whole, value_set=ids))  # pyright: ignore[reportAttributeAccessIssue]
        index = np.append(found.fill_null(-2).to_numpy(zero_copy_only=False), -1).astype(np.int32)[texts.codes]
        if (index == -2).any():
            entry = int((index == -2).argmax())
            raise self.error(column, texts.row[entry], allowed.expected, texts.values[texts.codes[entry]].as_py())
        return index

    def find_lists(self, column: str, allowed: AllowedIds) -> tuple[np.ndarray, Int32[np.ndarray, " entries"]]:
        """`find_ids` for a list column, also one of joined texts.

        Returns:
          The row of each entry, and its index in `allowed.ids`; a missing list has no entry.

        Raises:
          ValueError: naming the first row with an id that is not allowed, or whose text can be split in several ways.
        """
        texts = self.texts[column]
        if not texts.joined:
            return texts.row, self.find_ids(column, allowed)
        index = {id_: number for number, id_ in enumerate(allowed.ids)}
        found: list[list[int]] = []
        for code, text in enumerate(texts.values.to_pylist()):
            names = split_names(text, index)
            if isinstance(names, str):
                row = texts.row[int((texts.codes == code).argmax())]
                raise self.error(column, row, names or allowed.expected, first_unknown(text, index))
            found.append([index[name] for name in names])
        given = np.flatnonzero(texts.codes >= 0)
        lists = [found[code] for code in texts.codes[given]]
        rows = np.repeat(texts.row[given], [len(names) for names in lists])
        return rows, np.array([number for names in lists for number in names], np.int32)

    def texts_in_row(self, column: str, row: int) -> list[str]:
        """The entries of a text column in one row: the elements of a list, one text, or none if it is missing."""
        texts = self.texts[column]
        return texts.values.take(pa.array(texts.codes[(texts.row == row) & (texts.codes >= 0)])).to_pylist()

    def error(self, column: str, row: int | np.integer, expected: str, found) -> ValueError:
        """An error about one cell; `found` is None for a missing cell."""
        row = int(row if self.origin is None else self.origin[row])
        name, first = [part for part in ((self.name, 0), *self.parts) if part[1] <= row][-1]
        return row_error(name, column, row - first, expected, found)


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of several files as one table; a column that a file lacks is missing in its rows."""
    starts = np.cumsum([0, *(table.num_rows for table in tables)])
    total = int(starts[-1])
    texts, numbers = {}, {}
    for name in dict.fromkeys(name for table in tables for name in table.texts):
        texts[name] = _concatenate_texts([table.texts.get(name) for table in tables], starts)
    for name in dict.fromkeys(name for table in tables for name in table.numbers):
        numbers[name] = np.concatenate([table.floats(name) for table in tables])
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    parts = tuple((table.name, int(start)) for table, start in zip(tables, starts, strict=False))
    return Table(f"{tables[0].name} and {len(tables) - 1} more", total, names, texts, numbers, parts)


def _concatenate_texts(columns: Sequence[TextColumn | None], starts: np.ndarray) -> TextColumn:
    codes, values, rows = [], [], []
    before = 0
    for column, start, end in zip(columns, starts[:-1], starts[1:], strict=True):
        if column is None:
            codes.append(np.full(end - start, -1))
            rows.append(np.arange(start, end))
            continue
        codes.append(np.where(column.codes < 0, -1, column.codes + before))
        values.append(column.values)
        rows.append(column.row + start)
        before += len(column.values)
    joined = pa.concat_arrays(values).dictionary_encode()
    code = np.append(joined.indices.to_numpy(), -1)[np.concatenate(codes)]
    return TextColumn(code, joined.dictionary, np.concatenate(rows))


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
    return (name if name.isprintable() else ascii(name))[:_LONGEST] or "a column without a name"


def _listed(names: Sequence[str]) -> str:
    """The names in one line, of very many the first ones."""
    more = [f"and {len(names) - _MOST_NAMED:,} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more]) or "none"
