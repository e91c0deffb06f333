"""Adds to an error about a file where to look: the file with its folder, and the line as an editor counts.

Readers count the rows of data from 0. In a CSV file the header and texts with line breaks stand between rows and lines;
so the line is found by reading the file again, after an error alone.
"""

import contextlib
import csv
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from prouter_jax.data.tables.file_forms import file_format
from prouter_jax.io.paths import open_text
from prouter_jax.io.separated import csv_reader

_ROW = re.compile(r", row (\d+)\b")
_OPEN = {"encoding": "utf-8-sig", "errors": "replace", "newline": ""}


@contextlib.contextmanager
def errors_have_places(paths: Callable[[], Iterable[pathlib.Path]]) -> Iterator[None]:
    """Adds " (line N of PATH)" to a ValueError "table NAME, ..., row M: ..." that names one of some files.

    Args:
      paths: the files; called after an error alone.

    Raises:
      ValueError: with the place; as it was if no file has the name, or several have it.
    """
    try:
        yield
    except ValueError as error:
        message = str(error)
        named = [path for path in paths() if re.search(rf"\btable {re.escape(path.name)}(?:[,:]|$)", message)]
        if len(named) > 1:  # of AlpacaEval and LLMRouterBench, whose messages begin with the folder
            named = [path for path in named if message.startswith(f"folder {_folder(path, message)}, ")]
        if len(named) != 1 or str(named[0]) in message:
            raise
        row = _ROW.search(message)
        raise ValueError(f"{message} ({_place(named[0], int(row[1]) if row else None)})") from error


def line_of(path: pathlib.Path, row: int) -> int | None:
    """The line, from 1, on which a row of data, from 0, begins in a CSV or JSONL file; None if there is no such row."""
    with open_text(path, **_OPEN) as file:
        if file_format(path) == ".jsonl":
            lines = (number for number, line in enumerate(file, 1) if line.strip())
            return next((number for place, number in enumerate(lines) if place == row), None)
        reader = csv_reader(file, strict=False)
        begin, place = 1, -2
        for record in reader:
            place += bool(record)
            if record and place == row:
                return begin
            begin = reader.line_num + 1
        return begin if place + 1 == row else None


def _place(path: pathlib.Path, row: int | None) -> str:
    form = file_format(path)
    if row is None:
        return str(path)
    if form in (".csv", ".jsonl"):
        limit = csv.field_size_limit(sys.maxsize)
        try:
            line = line_of(path, row)
        except (csv.Error, OSError, EOFError, ValueError):
            line = None
        finally:
            csv.field_size_limit(limit)
        return f"line {line} of {path}" if line else str(path)
    return f"{'element' if form == '.json' else 'row'} {row + 1} of {path}"


def _folder(path: pathlib.Path, message: str) -> str:
    """The last folders of a path, as many as the message names."""
    named = message.removeprefix("folder ").partition(", ")[0]
    return "/".join(path.parts[-2 - named.count("/") : -1])
