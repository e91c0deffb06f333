"""Sections of a document that are written by commands, each between two markers of its own."""

import os
import pathlib

from prouter_jax.io import files


def write_section(document: str | os.PathLike, name: str, text: str) -> None:
    """Puts `text` between <!-- NAME --> and <!-- /NAME --> of a Markdown document; the rest stays.

    Raises:
      ValueError: naming the file, if the markers are not there once and in order.
    """
    path, marks = pathlib.Path(document), (f"<!-- {name} -->", f"<!-- /{name} -->")
    old = path.read_text()
    before, begin, rest = old.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end) or sum(map(old.count, marks)) > 2:
        raise ValueError(f"{path}: expected {marks[0]} once and then {marks[1]} once, found something else")
    files.write_whole(path, f"{before}{begin}\n{text}\n{end}{after}")
