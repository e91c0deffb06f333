"""Reads log files in pieces, as Arrow tables whose columns have the names or paths that are asked for.

| ending | contents |
|---|---|
| .jsonl, .ndjson | a JSON object in each line |
| .json | the same, or one array of objects, also as data, logs, records or the like of an object |
| .csv | a header and rows; cells that hold objects are JSON |
| .parquet | |

A .gz behind the ending of a text file is unpacked.
"""

import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Generator, Iterator

from prouter_jax.data.logs.columnar import csv_pieces, parquet_pieces
from prouter_jax.data.logs.json_lines import LineParser, read_line
from prouter_jax.data.logs.pieces import Columns, Expand, Piece, check_columns
from prouter_jax.data.logs.source import Source
from prouter_jax.data.tables.files import json_elements
from prouter_jax.data.tables.parquet import one_line
from prouter_jax.io.paths import make_path, require_file

_ELEMENTS_AT_ONCE = 1024


def read_pieces(
    path: str | os.PathLike, columns: Columns, expand: Expand | None = None
) -> Generator[Piece, None, None]:
    """Reads a file in pieces, in order.

    Args:
      path: of one of the formats above.
      columns: names or paths of the columns of each field, see `fields.parse_columns`; others are not loaded.
      expand: the rows that a JSON object stands for; None for itself.

    Raises:
      ValueError: if the file does not have its format, or has no column of users, queries or served LLMs.
    """
    path = make_path(path)
    suffix = _suffix(path)
    if suffix not in (*_JSON, *_TABLES):
        expected = ", ".join((*_JSON, *_TABLES))
        raise ValueError(f"log {path}: expected one of {expected} (texts also with .gz), found {path.suffix!r}")
    require_file(path)
    try:
        if suffix in _TABLES:
            yield from _TABLES[suffix](path, columns)
        elif expand or _array_key(path) is not None:
            yield from _records(path, columns, expand)
        else:
            yield from _json_lines(path, columns)
    except (OSError, EOFError) as error:
        raise ValueError(f"log {path}: expected a readable file, found {one_line(error)}") from error


def read_objects(path: str | os.PathLike) -> Iterator[dict]:
    """The objects of a JSON file; none of another file."""
    path = make_path(path)
    if _suffix(path) in _JSON and path.is_file():
        yield from (value for _, value in _values(path) if isinstance(value, dict))


def _suffix(path: pathlib.Path) -> str:
    name = path.name.lower()
    suffix = pathlib.PurePath(name.removesuffix(".gz")).suffix
    return suffix + ".gz" if suffix == ".parquet" and name.endswith(".gz") else suffix


def _json_lines(path: pathlib.Path, columns: Columns) -> Iterator[Piece]:
    parser, line = LineParser(columns), 1
    with Source(path) as source:
        for block in source.blocks():
            for rows in parser.parse(block, line):
                piece = Piece(**vars(rows), file=str(path), unit="line", share=source.share)
                yield _checked(path, columns, parser, piece)
            line += block.count(b"\n")
    _check_objects(path, parser)


def _records(path: pathlib.Path, columns: Columns, expand: Expand | None) -> Iterator[Piece]:
    """The elements of an array, or the rows that objects stand for."""
    parser, unit = LineParser(columns), "line" if _array_key(path) is None else "element"
    rows = ((number, row) for number, value in _values(path) for row in _expand(value, expand))
    while some := list(itertools.islice(rows, _ELEMENTS_AT_ONCE)):
        yield _checked(path, columns, parser, Piece(**vars(parser.read(some)), file=str(path), unit=unit))
    if expand is None:
        _check_objects(path, parser)


def _expand(value, expand: Expand | None) -> list:
    return expand(value) if expand and isinstance(value, dict) else [value]


def _values(path: pathlib.Path) -> Iterator[tuple[int, object]]:
    """The elements of an array or the values of lines, with their numbers; None for what is no JSON."""
    key = _array_key(path)
    if key is not None:
        yield from enumerate((element for element, _ in json_elements(path, key)), 1)
        return
    line = 1
    with Source(path) as source:
        for block in source.blocks():
            yield from enumerate(map(read_line, block.split(b"\n")), line)
            line += block.count(b"\n")


def _array_key(path: pathlib.Path) -> str | None:
    """The key of the array of objects that a .json file holds, "" if the file is the array; None for lines."""
    if _suffix(path) != ".json":
        return None
    with Source(path) as source:
        head = source.head().lstrip()
    found = _WRAPPED.match(head)
    return "" if head[:1] == b"[" else found[1].decode() if found else None


def _checked(path: pathlib.Path, columns: Columns, parser: LineParser, piece: Piece) -> Piece:
    """The piece with the paths seen so far, after a check of the columns of the first one that has rows."""
    if len(piece.number) and not parser.checked:
        check_columns(str(path), columns, parser.names, {*parser.names, *parser.types})
        parser.checked = True
    return dataclasses.replace(piece, names=parser.names)


def _check_objects(path: pathlib.Path, parser: LineParser) -> None:
    if not parser.objects:
        with Source(path) as source:
            head = source.head()
        found = next((words for mark, words in _NO_LINES.items() if head.lstrip().startswith(mark)), "none")
        raise ValueError(f"log {path}: expected JSON objects, one in each line, found {found}")


_JSON = (".jsonl", ".ndjson", ".json")
_SCALAR = rb"""(?:"(?:[^"\\]|\\.)*"|true|false|null|[-+.\deE]+)"""
_WRAPPED = re.compile(  # {"total": 3, "data": [{
    rb"\{\s*(?:" + _SCALAR + rb"\s*:\s*" + _SCALAR + rb"\s*,\s*)*"
    rb'"(data|logs|items|records|results|rows|requests|events|generations|observations|traces)"\s*:\s*\[\s*\{'
)
_NO_LINES = {
    b"\x1f\x8b": "a gzip file; let its name end in .gz",
    b"PAR1": "a Parquet file; let its name end in .parquet",
    b"PK": "a zip file; unpack it",
    b"{": "an object over several lines; `jq -c .` makes one line of it",
}
_TABLES = {".csv": csv_pieces, ".parquet": parquet_pieces}
