"""Messages about the column names of a table file: a required column that is missing, columns that are not read."""

import difflib
import functools
import os
import pathlib
from collections.abc import Collection, Sequence

from prouter_jax.io.display import log_line

_MOST_NAMED = 20
_LONGEST = 80  # characters of a name


def missing_column(table: str, column: str, names: Sequence[str]) -> ValueError:
    """The error for a required column that is missing.

    Args:
      table: name of the file.
      column: the name, or several names joined by "or".
      names: the columns of the file.
    """
    found = _listed([_shown(name) for name in names])
    return ValueError(f"table {table}, column {column}: expected this column, found {found}")


def tell_unread(path: str | os.PathLike, names: Sequence[str], known: Collection[str], others: Collection[str]) -> None:
    """Prints one line on stderr if a file has columns that nobody reads: one of them may be misspelt.

    The line comes once in a process, however often the file is read.

    Args:
      path: of the file.
      names: the columns of the file.
      known: the columns that are read.
      others: further columns that are in order, because another command reads them.
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
