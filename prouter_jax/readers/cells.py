"""Python cells, as CSV and JSONL have them, as an Arrow array of a declared kind.

Texts become bytes that need not be UTF-8, so that all formats meet the same check later.
"""

import json

import pyarrow as pa

from prouter_jax.readers.loaded_table import Table

EXPECTED = {
    "id": "an id",
    "key": "an id",
    "text": "a text",
    "number": "a number",
    "list": "a list of texts",
    "texts": "a text or a list of texts",
}


def from_python(table: Table, name: str, kind: str, cells: list) -> pa.Array:
    """The cells of a column.

    Raises:
      ValueError: naming the first cell that is not of the kind.
    """
    convert = float if kind == "number" and table.name.endswith(".csv") else _CONVERT[kind]
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise table.error(name, row, EXPECTED[kind], cell) from error
    types = {"number": pa.float64(), "list": pa.list_(pa.large_binary())}
    return pa.array(values, types.get(kind, pa.large_binary()))


def _bytes(text) -> bytes:
    """Undoes the surrogates that stand for broken UTF-8, so that all formats meet the same check."""
    if not isinstance(text, str):
        raise TypeError
    return text.encode("utf-8", "surrogateescape")


def _id(cell: str | int) -> bytes:
    return _bytes(str(cell) if type(cell) is int else cell)


def _number(cell: float) -> float:
    if type(cell) not in (int, float):
        raise TypeError
    return float(cell)


def _texts(cell: str | float | list) -> bytes:
    """Numbers are texts as well: a right answer may be one."""
    if type(cell) is list:
        if not cell or not all(isinstance(text, str) for text in cell):
            raise TypeError
        return json.dumps(cell, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return _bytes(json.dumps(cell) if type(cell) in (int, float) else cell)


_CONVERT = {
    "id": _id,
    "key": _id,
    "text": _bytes,
    "number": _number,
    "list": lambda cell: [_bytes(text) for text in (cell if type(cell) is list else cell.split("|"))],
    "texts": _texts,
}
