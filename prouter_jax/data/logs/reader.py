"""Reads log files (JSON lines or Parquet) in pieces, as Arrow tables.

Arrow's JSON reader needs the type of each column and rejects a whole block for one irregular line. A rejected block is
halved until the irregular line is in a small block, whose lines the json module reads. The types found there are
Arrow's schema for the next blocks. A column not found so far has type null, so its first cell makes a line irregular.
"""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Generator, Iterator

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from prouter_jax.data.tables.parquet import one_line
from prouter_jax.io.paths import arrow_file, file_size, make_path, require_file

NOT_AN_OBJECT = "not a JSON object"
"""Reason of dropped lines."""
_SMALL = 1 << 16  # bytes of a block whose lines are read one by one
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


class LineParser:
    """Parses blocks of JSON lines; keeps the types of columns from block to block.

    Args:
      columns: names of the columns of each field.

    Attributes:
      types: of the columns found so far.
      names: of all columns of the lines that were read one by one.
    """

    def __init__(self, columns: dict[str, tuple[str, ...]]):
        self.types: dict[str, pa.DataType] = {}
        self.names: list[str] = []
        self._field = {name: field for field, names in columns.items() for name in names}

    def parse(self, block: bytes) -> Iterator[tuple[pa.Table, collections.Counter]]:
        """Parses a block of whole lines.

        Yields:
          Tables of rows, whose types may differ, with the number of dropped lines by reason.
        """
        table = self._at_once(block) if self.types else None
        if table is not None:
            yield table, collections.Counter()
        elif len(block) > _SMALL and (middle := block.find(b"\n", len(block) // 2) + 1) not in (0, len(block)):
            yield from self.parse(block[:middle])
            yield from self.parse(block[middle:])
        else:
            yield self._one_by_one(block)

    def _at_once(self, block: bytes) -> pa.Table | None:
        """The rows, or None if Arrow cannot read all lines."""
        schema = pa.schema([(name, self.types.get(name, pa.null())) for name in self._field])
        options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        try:
            block.decode()  # Arrow accepts bytes that are not UTF-8
            # one thread needs less processor time, and other threads read and write at the same time
            reading = pj.ReadOptions(use_threads=False, block_size=max(len(block), 1))
            table = pj.read_json(pa.BufferReader(block), reading, options)
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        return table.select(list(self.types)) if table.num_rows == lines else None

    def _one_by_one(self, block: bytes) -> tuple[pa.Table, collections.Counter]:
        rows, dropped = [], collections.Counter()
        for line in block.splitlines():
            if not line.strip():
                continue
            record = _read_line(line)
            reason = NOT_AN_OBJECT if record is None else self._unreadable(record)
            if reason:
                dropped[reason] += 1
            elif record is not None:
                rows.append(record)
        self.names = list(dict.fromkeys([*self.names, *(name for row in rows for name in row)]))
        columns = {name: _column([row.get(name) for row in rows], field) for name, field in self._field.items()}
        self._update_types(columns)
        return pa.table({name: columns[name] for name in self.types}), dropped

    def _update_types(self, columns: dict[str, pa.Array]) -> None:
        for name, column in columns.items():
            whole_after_any = column.type == pa.int64() and self.types.get(name) == pa.float64()
            if not pa.types.is_null(column.type) and not whole_after_any:
                self.types[name] = column.type

    def _unreadable(self, record: dict) -> str:
        """The reason to drop a line, "" if all its fields are readable."""
        for name, cell in record.items():
            if (field := self._field.get(name)) and not _READABLE.get(field, _is_plain)(cell):
                return f"{field} not readable"
        return ""


def last_question(messages) -> str | None:
    """The text of the user's last message.

    Args:
      messages: a list of {role, content}, or its JSON text.

    Returns:
      The text, None without a readable one.
    """
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            return None
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                texts = [part.get("text") for part in content if isinstance(part, dict)]
                return "\n".join(text for text in texts if isinstance(text, str))
            return content if isinstance(content, str) else None
    return None


def _read_line(line: bytes) -> dict | None:
    try:
        record = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse(name: str):
    raise ValueError(name)


def _is_plain(cell) -> bool:
    """Whether a cell is a number that fits float64, or a text without lone surrogates, which UTF-8 lacks."""
    try:
        if isinstance(cell, int | float):
            return abs(cell) < _TOO_LARGE or isinstance(cell, float)
        return cell is None or bool(cell.encode()) or not cell
    except (AttributeError, UnicodeEncodeError):
        return False


def _is_name(cell) -> bool:
    return _is_plain(cell) and not isinstance(cell, bool | float)


def _are_names(cell) -> bool:
    return all(isinstance(one, str) and _is_plain(one) for one in cell) if isinstance(cell, list) else _is_name(cell)


def _are_messages(cell) -> bool:
    return _is_plain(last_question(cell)) and not isinstance(cell, dict)


def _column(cells: list, field: str) -> pa.Array:
    """An Arrow array of cells: of their type, or of texts for several types; of messages only the user's last."""
    if field == "messages":
        asked = [last_question(cell) for cell in cells]
        rows = [None if text is None else [{"role": "user", "content": text}] for text in asked]
        return pa.array(rows, _MESSAGES) if any(rows) else pa.nulls(len(cells))
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds <= {int, float} and float in kinds:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    if len(kinds) > 1 or (kinds == {int} and any(abs(cell or 0) >= 2**63 for cell in cells)):
        return pa.array([_as_text(cell) for cell in cells], pa.string())
    return pa.array(cells, pa.list_(pa.string()) if kinds == {list} else None)


def _as_text(cell) -> str | None:
    if isinstance(cell, list):
        return "|".join(cell)
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell)


_READABLE = {
    **dict.fromkeys(("user", "query", "task", "served"), _is_name),
    "candidates": _are_names,
    "messages": _are_messages,
}


_TOO_LARGE = 1 << 1023  # integers from here on overflow float64
_FIRST_BYTES, _BYTES_AT_ONCE = 1 << 18, 16 << 20
_LONGEST_LINE = 64 << 20
_ROWS_AT_ONCE = 1 << 15


@dataclasses.dataclass(frozen=True)
class Piece:
    """Consecutive rows of a file.

    Attributes:
      table: the rows; columns have any type.
      dropped: numbers of dropped lines by reason.
      share: share of the file up to the end of this piece.
    """

    table: pa.Table
    dropped: collections.Counter
    share: float


def read_pieces(path: str | os.PathLike, columns: dict[str, tuple[str, ...]]) -> Generator[Piece, None, None]:
    """Reads a file in pieces, in order.

    Args:
      path: .jsonl or .parquet.
      columns: names of the columns of each field, see `requests.parse_columns`; other columns are not loaded.

    Raises:
      ValueError: if the file does not have its format, or has no column of users, queries or served LLMs.
    """
    path = make_path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"table {path.name}: expected one of {', '.join(_READERS)}, found {path.suffix!r}")
    require_file(path)
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
    """The bytes of a file in blocks of whole lines; the first block is small."""
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
                table.validate(full=True)  # Arrow does not check by itself that texts are UTF-8
            done += table.num_rows
            yield Piece(table, collections.Counter(), done / total)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table {path.name}: expected a readable Parquet file, found {one_line(error)}") from error


def _check_columns(path: pathlib.Path, columns: dict[str, tuple[str, ...]], names: list[str]) -> None:
    """Checks that there are columns of users, queries and served LLMs, and each column at most once."""
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
