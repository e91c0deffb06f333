"""Log files (.jsonl, .parquet) in pieces of bounded size: the bare columns that may hold fields, as Arrow tables."""

import collections
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Generator, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.logs.json_lines import LineParser
from prouter_jax.paths import arrow_file, file_size, make_path
from prouter_jax.readers.formats import one_line

_FIRST_BYTES, _BYTES_AT_ONCE = 1 << 18, 16 << 20
_LONGEST_LINE = 64 << 20
_ROWS_AT_ONCE = 1 << 15


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of a file.

    Attributes:
      table: their columns; of any type.
      dropped: lines that are no rows, by reason.
      share: of the file, up to the end of this piece.
    """

    table: pa.Table
    dropped: collections.Counter
    share: float


def read_pieces(path: str | os.PathLike, columns: dict[str, tuple[str, ...]]) -> Generator[Piece, None, None]:
    """The rows of a file in order.

    Args:
      columns: by field, see `fields.parse_columns`; no others are loaded.

    Raises:
      ValueError: one line that names the file, if it is not of its format or holds no user, query or served LLM.
    """
    path = make_path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"table {path.name}: expected one of {', '.join(_READERS)}, found {path.suffix!r}")
    try:
        yield from _READERS[path.suffix](path, columns)
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {one_line(error)}") from error


def _json_pieces(path: pathlib.Path, columns: dict[str, tuple[str, ...]]) -> Iterator[Piece]:
    parser, done, size = LineParser(columns), 0, max(file_size(path), 1)
    checked = False
    for block in _blocks(path):
        done += len(block)
        for table, dropped in parser.parse(block):
            if table.num_rows and not checked:
                _check_columns(path, columns, parser.names)
                checked = True
            yield Piece(table, dropped, done / size)
    if not checked:
        raise ValueError(f"table {path.name}: expected a JSON object in each line, found none")


def _blocks(path: pathlib.Path) -> Iterator[bytes]:
    """The bytes of a file, cut behind ends of lines; a first small block shows the columns."""
    with path.open("rb") as file:
        rest, wanted = b"", _FIRST_BYTES
        while piece := file.read(wanted):
            wanted = _BYTES_AT_ONCE
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
            if len(rest) > _LONGEST_LINE:
                raise ValueError(
                    f"table {path.name}: expected lines of at most {_LONGEST_LINE >> 20} MB, found a longer one"
                )
        if rest:
            yield rest


def _parquet_pieces(path: pathlib.Path, columns: dict[str, tuple[str, ...]]) -> Iterator[Piece]:
    with _readable(path):
        file = pq.ParquetFile(arrow_file(path), page_checksum_verification=True, pre_buffer=False)
    with file:
        names = file.schema_arrow.names
        _check_columns(path, columns, names)
        wanted = [name for names_of in columns.values() for name in names_of if name in names]
        done, total = 0, max(file.metadata.num_rows, 1)
        batches = file.iter_batches(_ROWS_AT_ONCE, columns=wanted)
        while True:
            with _readable(path):
                batch = next(batches, None)
                if batch is None:
                    break
                table = pa.Table.from_batches([batch])
                table.validate(full=True)  # Arrow believes a file that its texts are UTF-8
            done += table.num_rows
            yield Piece(table, collections.Counter(), done / total)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {one_line(error)}") from error


def _check_columns(path: pathlib.Path, columns: dict[str, tuple[str, ...]], names: list[str]) -> None:
    """There are a user, a query and a served LLM, each column once."""
    for fields in (("user",), ("query", "messages"), ("served",)):
        wanted = [name for field in fields for name in columns[field]]
        if not set(names) & set(wanted):
            there = ", ".join(sorted(set(names)))[:200] or "none"
            raise ValueError(
                f"table {path.name}: expected a column {' or '.join(wanted)} (or --columns), found {there}"
            )
    for name in {name for names_of in columns.values() for name in names_of}:
        if names.count(name) > 1:
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {names.count(name)} times")


_READERS = {".jsonl": _json_pieces, ".parquet": _parquet_pieces}
