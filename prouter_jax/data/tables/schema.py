"""The format of a folder of tables (their names, the columns of each), and its files loaded with every cell checked.

A schema maps each column name to its kind. Columns outside the schema are not loaded; one line on stderr names them.

| kind | cells |
|---|---|
| id | a text or a whole number |
| key | an id that no two rows share |
| text | a text |
| number | a finite number |
| list | a list of texts, or one text that lists them, see `table.split_names` |
| texts | a text, a number, or a list of texts, which is stored as JSON; `parse_texts` reads it |
| options | a text, or a list or an object, which is stored as JSON; `data.choices.parse_choices` reads it |

A "?" after the kind allows missing cells and an absent column. Error messages count rows from 0 at the first row of
data.
"""

import dataclasses
import json
import pathlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Int

from prouter_jax.data.distinct import first_repeat
from prouter_jax.data.tables.file_forms import FORMATS, file_format, table_files
from prouter_jax.data.tables.files import read_cells
from prouter_jax.data.tables.parquet import is_utf8, one_line
from prouter_jax.data.tables.table import Table, TextColumn, concatenate, missing_column, tell_unread
from prouter_jax.data.tables.unfinished import UNFINISHED, is_unfinished
from prouter_jax.io.paths import require_folder

EXPECTED = {  # descriptions of the kinds for error messages
    "id": "an id",
    "key": "an id",
    "text": "a text",
    "number": "a number",
    "list": "a list of texts",
    "texts": "a text or a list of texts",
    "options": "a list of texts, or an object with text and labels",
}

OUTCOME_NUMBERS = ("effect", "cost", "input_tokens", "output_tokens")
_FEEDBACK_ROW = {"user_id": "id", "query_id": "id", "time": "number?"}
SCHEMAS = {  # the columns of each table and their kinds, see above
    "users": {"user_id": "key", "preference": "number?"},
    "tasks": {"task_id": "key", "description": "text?"},
    "queries": {"query_id": "key", "query": "text", "task_id": "id?"},
    "llms": {
        "llm": "key",
        "family": "text?",
        "description": "text?",
        "input_price": "number?",
        "output_price": "number?",
        "pool": "text?",
    },
    "outcomes": {"query_id": "id", "llm": "id"} | dict.fromkeys(OUTCOME_NUMBERS, "number?") | {"response": "text?"},
    "choices": _FEEDBACK_ROW | {"llm": "id", "candidates": "list?", "first": "id?"},
    "votes": _FEEDBACK_ROW | {"llm_a": "id", "llm_b": "id", "winner": "text", "first": "id?"},
    "ratings": _FEEDBACK_ROW | {"llm": "id", "rating": "number", "candidates": "list?", "first": "id?"},
    "thumbs": _FEEDBACK_ROW | {"llm": "id", "thumb": "number", "candidates": "list?", "first": "id?"},
    "decisions": _FEEDBACK_ROW | {"decision_id": "key", "candidates": "list?", "offer": "id?", "first": "id?"},
    "feedback": {"decision_id": "id", "kind": "text", "llm": "id", "value": "number"},
    "offers": {"offer": "id", "llm": "id"},
}
# columns of `prouter collect`: for grading, and what the LLM wrote
_OTHERS = {"queries": ("reference", "metric", "choices"), "outcomes": ("finish_reason", "raw_response")}
FEEDBACK = ("choices", "votes", "ratings", "thumbs", "decisions", "feedback", "offers")


def load_table(path: pathlib.Path, schema: dict[str, str], others: Collection[str] = ()) -> Table:
    """Reads the columns of a schema from a file; the suffix of the file determines the format.

    Args:
      path: a file of one of the formats of `file_forms`.
      schema: the kind of each column, see above.
      others: further columns that the file may have without a notice on stderr.

    Raises:
      ValueError: one line with table (file), column and row, if a required column is missing, a cell is not of its
        kind, the table is empty or the file is damaged.
    """
    cells, num_rows, names = read_cells(path, schema)
    missing = [name for name, kind in schema.items() if name not in cells and not kind.endswith("?")]
    if missing and (cells or num_rows or file_format(path) not in (".jsonl", ".json")):
        raise missing_column(path.name, missing[0], names)
    if not num_rows:
        raise ValueError(f"table {path.name}: expected at least one row, found none")
    tell_unread(path, names, schema, others)
    table = Table(path.name, num_rows, tuple(names), {}, {})
    for name, kind in schema.items():
        if name in cells:
            try:
                _add_column(table, name, kind.rstrip("?"), kind.endswith("?"), cells[name])
            except pa.ArrowException as error:  # a damaged file can decode to an index outside its dictionary
                raise ValueError(
                    f"table {path.name}, column {name}: expected sound data, found {one_line(error)}"
                ) from error
    return table


def parse_texts(cell: str) -> list[str]:
    """The texts of a cell of the kind "texts": the elements of a JSON list, or else the cell itself."""
    try:
        found = json.loads(cell) if cell.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found and all(isinstance(text, str) for text in found):
        return found
    return [cell]


def load_folder(folder: pathlib.Path, required: tuple[str, ...], skipped: tuple[str, ...] = ()) -> dict[str, Table]:
    """Loads the tables of a folder.

    Args:
      folder: contains each table NAME of `SCHEMAS` in one of the forms of `file_forms.table_files`.
      required: tables that the folder must contain; others may be absent.

    Returns:
      The tables by name.

    Raises:
      ValueError: if a required table is missing, a table has two files, a file is damaged, or the conversion that
        wrote them was stopped.
    """
    found = table_files(require_folder(folder, "tables"), SCHEMAS)
    if is_unfinished(folder):
        stopped = f"those of a conversion that was stopped ({UNFINISHED}); the same command again goes on"
        raise ValueError(f"folder {str(folder)!r}: expected all tables, found {stopped}")
    tables = {
        name: load_shards(found[name], schema, _OTHERS.get(name, ()))
        for name, schema in SCHEMAS.items()
        if name in found and name not in skipped
    }
    for name in (*required, *(["decisions"] if "feedback" in tables else [])):
        if name not in tables:
            expected = " or ".join(name + suffix for suffix in FORMATS)
            raise ValueError(f"table {name}: expected {expected} in {str(folder)!r}, found none")
    return tables


def load_shards(paths: list[pathlib.Path], schema: dict[str, str], others: Collection[str] = ()) -> Table:
    """Reads a table from its files, the rows of one after those of the other; see `load_table`."""
    tables = [load_table(path, schema, others) for path in paths]
    if len(tables) == 1:
        return tables[0]
    table = concatenate(tables)
    for name, kind in schema.items():
        if kind.rstrip("?") == "key" and name in table.texts:
            _check_unique(table, name)
    return table


def _add_column(table: Table, name: str, kind: str, optional: bool, cells) -> None:
    """Checks one column, an Arrow array (from Parquet) or a list of Python values, and adds it to the table."""
    if kind in ("texts", "options") and not isinstance(cells, list) and not _is_text(cells.type):
        cells = cells.to_pylist()
    if isinstance(cells, list):
        cells = _convert(table, name, kind, cells)
    if isinstance(cells.type, pa.DictionaryType):
        cells = cells.cast(cells.type.value_type)
    _check_type(table, name, kind, cells)
    if not optional:
        _check_present(table, name, kind, cells, np.arange(len(cells)))
    if kind == "number":
        table.numbers[name] = _numbers(table, name, cells)
    elif kind == "list":
        table.texts[name] = _list_column(table, name, cells)
    else:
        table.texts[name] = _text_column(table, name, cells, np.arange(len(cells)), optional)
        if kind == "key":
            _check_unique(table, name)


def _check_unique(table: Table, name: str) -> None:
    texts = table.texts[name]
    row = first_repeat(texts.codes)
    if row is not None:
        expected = f"unique ids (row {(texts.codes == texts.codes[row]).argmax()} has the same)"
        raise table.error(name, row, expected, texts.values[texts.codes[row]].as_py())


def _convert(table: Table, name: str, kind: str, cells: list) -> pa.Array:
    """Python values as an Arrow array: float64 for numbers, lists of bytes for lists, bytes for other kinds."""
    convert = float if kind == "number" and ".csv" in table.name.lower() else _CONVERTERS[kind]
    values = []
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise table.error(name, row, EXPECTED[kind], cell) from error
    if kind == "list" and not any(type(value) is bytes for value in values):
        return pa.array(values, pa.list_(pa.large_binary()))
    if kind == "list":  # some are texts: all become texts
        values = [
            _bytes(json.dumps(_decoded(value), ensure_ascii=False)) if type(value) is list else value
            for value in values
        ]
    return pa.array(values, pa.float64() if kind == "number" else pa.large_binary())


def _decoded(names: list[bytes]) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in names]


def _bytes(text) -> bytes:
    """The bytes of a text. Surrogates become invalid bytes again, as in the file, which `_text_column` reports."""
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
    """Numbers count as texts: a reference answer may be a number."""
    if type(cell) is list:
        if not cell or not all(isinstance(text, str) for text in cell):
            raise TypeError
        return json.dumps(cell, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return _bytes(json.dumps(cell) if type(cell) in (int, float) else cell)


def _options(cell: str | list | dict) -> bytes:
    return _bytes(json.dumps(cell, ensure_ascii=False) if type(cell) in (list, dict) else cell)


_CONVERTERS = {
    "id": _id,
    "key": _id,
    "text": _bytes,
    "number": _number,
    "list": lambda cell: [_id(text) for text in cell] if type(cell) is list else _bytes(cell),
    "texts": _texts,
    "options": _options,
}


def _check_present(table: Table, name: str, kind: str, cells, row: Int[np.ndarray, " entries"]) -> None:
    if cells.null_count:
        missing = cells.is_null().to_numpy(zero_copy_only=False)
        raise table.error(name, int(row[missing.argmax()]), EXPECTED[kind], None)


def _check_type(table: Table, name: str, kind: str, cells) -> None:
    """Checks the Arrow type of a column; an error names the first cell."""
    whole, text = pa.types.is_integer(cells.type), _is_text(cells.type)
    fits = {"number": whole or pa.types.is_floating(cells.type), "list": text or _is_list_of_texts(cells.type)}
    fits |= {"id": text or whole, "key": text or whole}
    if not fits.get(kind, text) and not pa.types.is_null(cells.type):
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        row = int(present.argmax()) if len(present) else 0
        raise table.error(name, row, EXPECTED[kind], cells[row].as_py() if len(cells) else cells.type)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or kind == pa.large_binary()
    )


def _is_list_of_texts(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    inner = kind.value_type
    return _is_text(inner.value_type if isinstance(inner, pa.DictionaryType) else inner)


def _numbers(table: Table, name: str, cells) -> Float64[np.ndarray, " rows"]:
    missing = cells.is_null().to_numpy(zero_copy_only=False)
    values = cells.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy()
    good = np.isfinite(values)
    if not good.all():
        row = int((~good).argmax())
        raise table.error(name, row, "a finite number", values[row])
    return np.where(missing, np.nan, values)


def _list_column(table: Table, name: str, cells) -> TextColumn:
    if not _is_list_of_texts(cells.type):
        return dataclasses.replace(_text_column(table, name, cells, np.arange(len(cells)), True), joined=True)
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    empty = cells.value_lengths().fill_null(1).to_numpy(zero_copy_only=False) == 0
    if empty.any():
        raise table.error(name, empty.argmax(), "at least one", "an empty list")
    row, cells = cells.value_parent_indices().to_numpy(), cells.flatten()
    _check_present(table, name, "text", cells, row)
    return _text_column(table, name, cells, row, False)


def _binary(cells):
    """Texts of any Arrow type as unchecked bytes; whole numbers as their digits."""
    if isinstance(cells.type, pa.DictionaryType):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_integer(cells.type):
        cells = cells.cast(pa.large_string())
    cells = cells.cast(pa.large_binary())
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _text_column(table: Table, name: str, cells, row: Int[np.ndarray, " entries"], optional: bool) -> TextColumn:
    """Checks texts and stores each distinct text once. An empty text counts as missing."""
    encoded = _binary(cells).dictionary_encode()
    distinct = encoded.dictionary
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    try:
        values = distinct.cast(pa.large_string())
    except pa.ArrowInvalid as error:
        bad = next(code for code, text in enumerate(distinct.to_pylist()) if not is_utf8(text))
        raise table.error(name, int(row[(codes == bad).argmax()]), "UTF-8 text", distinct[bad].as_py()) from error
    empty = pc.index(distinct, pa.scalar(b"", pa.large_binary())).as_py()
    if empty >= 0 and not optional:
        raise table.error(name, int(row[(codes == empty).argmax()]), "a text that is not empty", "")
    return TextColumn(np.where(codes == empty, -1, codes) if empty >= 0 else codes, values, row)
