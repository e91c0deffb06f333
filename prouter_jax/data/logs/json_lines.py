"""Parses JSON lines to Arrow tables, with bad lines counted.

Arrow's JSON reader needs the type of each column and rejects a whole block for one irregular line. A rejected block is
halved until the irregular line is in a small block, whose lines the json module reads. The types found there are
Arrow's schema for the next blocks. A column not found so far has type null, so its first cell makes a line irregular.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from prouter_jax.data import cells
from prouter_jax.data.logs.fields import find, paths, splits
from prouter_jax.data.logs.messages import last_question
from prouter_jax.data.logs.pieces import Rows

NOT_AN_OBJECT = "not a JSON object"
"""Reason of dropped lines."""
_SMALL = 1 << 16  # bytes of a block whose lines are read one by one
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_MOST_NAMED = 1000  # objects whose paths are kept for messages
_TOO_LARGE = 1 << 1023  # integers from here on overflow float64


class LineParser:
    """Parses blocks of JSON lines; keeps the types of columns from block to block.

    Args:
      columns: names or paths of the columns of each field.

    Attributes:
      types: of the columns found so far.
      names: paths of the cells of the first lines that were read one by one.
      objects: number of the lines that were read one by one and are JSON objects.
      checked: whether the columns were checked; for the caller.
    """

    def __init__(self, columns: dict[str, tuple[str, ...]]):
        self.types: dict[str, pa.DataType] = {}
        self.names: dict[str, None] = {}
        self.objects, self.checked = 0, False
        self._field = {name: field for field, names in columns.items() for name in names}
        self._plain = {name for name in self._field if not any(splits(name))}
        self._nested = [name for name in self._field if name not in self._plain]
        self._keys = {name: (name,) for name in self._plain}
        self._regular = True  # whether all cells so far were below objects, each name below the same keys

    def parse(self, block: bytes, first: int) -> Iterator[Rows]:
        """Parses a block of whole lines.

        Args:
          first: number of the first line.

        Yields:
          Rows, whose types may differ.
        """
        table = self._at_once(block) if self.types and self._regular else None
        if table is not None:
            yield Rows(table, first + np.arange(table.num_rows), [])
        elif len(block) > _SMALL and (middle := block.find(b"\n", len(block) // 2) + 1) not in (0, len(block)):
            yield from self.parse(block[:middle], first)
            yield from self.parse(block[middle:], first + block.count(b"\n", 0, middle))
        else:
            yield self.read(enumerate(map(read_line, block.split(b"\n")), first))

    def read(self, values: Iterator[tuple[int, object]] | Sequence[tuple[int, object]]) -> Rows:
        """The rows of JSON values, each with its number; `BLANK` is no row."""
        rows, numbers, dropped = [], [], []
        for number, value in values:
            if value is BLANK:
                continue
            reason, row = self._read_object(value)
            if reason:
                dropped.append((reason, number))
            else:
                rows.append(row)
                numbers.append(number)
        columns = {name: _column([row.get(name) for row in rows], field) for name, field in self._field.items()}
        self._update_types(columns)
        table = pa.table({name: columns[name] for name in self.types})
        return Rows(table, np.array(numbers, np.int64), dropped)

    def _read_object(self, value) -> tuple[str, dict]:
        """The reason to drop a line, "" if all its fields are readable, and its cells by name."""
        if not isinstance(value, dict):
            return NOT_AN_OBJECT, {}
        self.objects += 1
        if self.objects <= _MOST_NAMED:
            self.names |= dict.fromkeys(paths(value))
        row = {name: value[name] for name in self._plain & value.keys() if value[name] is not None}
        for name in self._nested:
            cell, keys = find(value, name)
            if cell is not None:
                row[name] = cell
                self._regular &= bool(keys) and self._keys.setdefault(name, keys) == keys
        for name in self._field:  # the first reason is that of the first field
            if name in row and not _READABLE.get(self._field[name], _is_plain)(row[name]):
                return f"{self._field[name]} not readable", {}
        return "", row

    def _at_once(self, block: bytes) -> pa.Table | None:
        """The rows, or None if Arrow cannot read all lines."""
        schema = self._schema()
        if schema is None:
            return None
        options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        try:
            block.decode()  # Arrow accepts bytes that are not UTF-8
            # one thread needs less processor time, and other threads read and write at the same time
            reading = pj.ReadOptions(use_threads=False, block_size=max(len(block), 1))
            table = pj.read_json(pa.BufferReader(block), reading, options)
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if table.num_rows != lines:
            return None
        return pa.table({name: _below(table, self._keys[name]) for name in self.types})

    def _schema(self) -> pa.Schema | None:
        """The types of all columns; a cell below other keys than those so far makes a line irregular."""
        tree: dict = {}
        for name in self._field:
            for keys in _all_keys(name):
                kind = self.types.get(name, pa.null()) if keys == self._keys.get(name) else pa.null()
                if not _plant(tree, keys, kind):
                    return None
        return pa.schema(_fields_of(tree))

    def _update_types(self, columns: dict[str, pa.Array]) -> None:
        for name, column in columns.items():
            whole_after_any = column.type == pa.int64() and self.types.get(name) == pa.float64()
            if not pa.types.is_null(column.type) and not whole_after_any:
                self.types[name] = column.type


BLANK = object()
"""A line without text."""


def read_line(line: bytes):
    """The JSON value of a line, `BLANK` for a line without text, None for what is no JSON."""
    if not line.strip():
        return BLANK
    try:
        return json.loads(line.decode(), parse_constant=_CONSTANTS.get)
    except (ValueError, RecursionError):
        return None


_CONSTANTS = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}


def _all_keys(name: str) -> Iterator[tuple[str, ...]]:
    yield (name,)
    for head, rest in splits(name):
        for keys in _all_keys(rest):
            yield (head, *keys)


def _plant(tree: dict, keys: tuple[str, ...], kind: pa.DataType) -> bool:
    """Puts a type into a tree of keys; False where one column holds another."""
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            return False
    if isinstance(tree.get(keys[-1]), dict):
        return False
    if tree.get(keys[-1], pa.null()) == pa.null():
        tree[keys[-1]] = kind
    return True


def _fields_of(tree: dict) -> list[pa.Field]:
    return [
        pa.field(name, pa.struct(_fields_of(kind)) if isinstance(kind, dict) else kind) for name, kind in tree.items()
    ]


def _below(table: pa.Table, keys: tuple[str, ...]) -> pa.ChunkedArray:
    column = table[keys[0]]
    for key in keys[1:]:
        column = pc.struct_field(column, key)  # pyright: ignore[reportAttributeAccessIssue]
    return column


def _is_plain(cell) -> bool:
    """Whether a cell is a number that fits float64, or a text without lone surrogates, which UTF-8 lacks."""
    if isinstance(cell, int):
        return abs(cell) < _TOO_LARGE
    return isinstance(cell, float) or (isinstance(cell, str) and cells.is_utf8(cell))


def _is_name(cell) -> bool:
    return _is_plain(cell) and not isinstance(cell, bool) and (not isinstance(cell, float) or cell.is_integer())


def _are_names(cell) -> bool:
    if not isinstance(cell, list):
        return _is_name(cell)
    return all(isinstance(one, dict) or (isinstance(one, str) and _is_plain(one)) for one in cell)


def _is_question(cell) -> bool:
    return isinstance(cell, list | dict) or _is_name(cell)


def _column(found: list, field: str) -> pa.Array:
    """An Arrow array of cells: of their type, or of texts for several types; of messages only the user's last."""
    if field == "messages":
        asked = [last_question(cell) for cell in found]
        asked = [text if text is None or cells.is_utf8(text) else None for text in asked]
        rows = [None if text is None else [{"role": "user", "content": text}] for text in asked]
        return pa.array(rows, _MESSAGES) if any(rows) else pa.nulls(len(found))
    if field == "query":  # an object or a list holds messages
        found = [last_question(cell) if isinstance(cell, dict | list) else cell for cell in found]
    if field in _NAMES:
        found = [int(cell) if isinstance(cell, float) else cell for cell in found]
    column = cells.column_of(found)
    if field == "candidates" and pa.types.is_nested(column.type):  # Arrow's JSON reader knows no large lists
        return cells.name_lists(column)[0].cast(pa.list_(pa.string()))
    return column


_NAMES = ("user", "task", "served")
_READABLE = {
    **dict.fromkeys(_NAMES, _is_name),
    **dict.fromkeys(("query", "messages"), _is_question),
    "candidates": _are_names,
}
