"""Markdown: tables, escaped text, and generated sections of a document."""

import html
import os
import pathlib
import re
from collections.abc import Iterable

from prouter_jax.io import files


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table.

    Args:
      columns: headings, plain text.
      rows: cells of each row, plain text; escaped here.
    """
    columns = list(columns)
    lines = [[escape(str(text)) for text in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Plain text as one line of Markdown without markup."""
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def write_section(document: str | os.PathLike, name: str, text: str) -> None:
    """Replaces the text between the markers <!-- NAME --> and <!-- /NAME --> of a Markdown document.

    Args:
      document: path of the file.
      name: of the section.
      text: Markdown.

    Raises:
      ValueError: unless the document has each marker once, in this order.
    """
    path, marks = pathlib.Path(document), (f"<!-- {name} -->", f"<!-- /{name} -->")
    old = path.read_text()
    before, begin, rest = old.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end) or sum(map(old.count, marks)) > 2:
        raise ValueError(f"{path}: expected {marks[0]} once and then {marks[1]} once, found something else")
    files.write_whole(path, f"{before}{begin}\n{text}\n{end}{after}")
