"""Writes scored pairs in chunks (.parquet, .csv, .jsonl): the input's columns, llm, probabilities, basis and error."""

import base64
import dataclasses
import functools
import io
import json
import math
import shutil
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from prouter_jax.data.cells import to_python
from prouter_jax.data.distinct import distinct_sets
from prouter_jax.io.files import jsonable
from prouter_jax.serving.batch.columns import LIST, Chunk

OUTPUT_COLUMNS = ("llm", "probabilities", "basis", "error")


@dataclasses.dataclass(frozen=True)
class Scored:
    """The picks for some rows.

    Attributes:
      llm: the picked LLM, string [rows]; null in a row with an error.
      llms: names of the columns of `probabilities`.
      probabilities: probability that the user chooses each LLM, float [rows, llms]; NaN if it is no candidate.
      basis: "history" or "cold_start", string [rows]; null in a row with an error.
      error: error message, string [rows]; null in a row without an error.
    """

    llm: pa.Array
    llms: list[str]
    probabilities: np.ndarray
    basis: pa.Array
    error: pa.Array


_STRING_MAP = pa.map_(pa.string(), pa.float64())
_DICTIONARY_MAP = pa.map_(pa.dictionary(pa.int32(), pa.string()), pa.float64())
_KEYS, _VALUES = (f"probabilities.key_value.{part}" for part in ("key", "value"))


class ParquetWriter:
    """Writes a Parquet file; LLM names are dictionary-encoded, and the stored schema declares plain strings."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, heading: bool = True, keep_formulas: bool = False):
        del heading, keep_formulas
        self._schema = _with_output_columns(schema, _DICTIONARY_MAP)
        self._writer = pq.ParquetWriter(
            file, self._schema, store_schema=False, write_page_checksum=True, **_encodings(self._schema)
        )
        declared = _with_output_columns(schema, _STRING_MAP).serialize().to_pybytes()
        self._writer.add_key_value_metadata({"ARROW:schema": base64.b64encode(declared).decode()})

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def write(self, chunk: Chunk, scored: Scored) -> None:
        self._add([*chunk.table().columns, scored.llm, _as_map(scored), scored.basis, scored.error])

    def append(self, part: BinaryIO) -> None:
        """Appends the rows of a file from another writer; the bytes are the same as if written directly."""
        with pq.ParquetFile(part, page_checksum_verification=True, pre_buffer=False) as written:
            for group in range(written.num_row_groups):
                table = written.read_row_group(group)
                columns = dict(zip(table.column_names, table.columns, strict=True))
                self._add(list((columns | {"probabilities": _dictionary_encode(table["probabilities"])}).values()))

    def _add(self, columns: list) -> None:
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))


def _with_output_columns(schema: pa.Schema, probabilities: pa.DataType) -> pa.Schema:
    for name in OUTPUT_COLUMNS:
        schema = schema.append(pa.field(name, probabilities if name == "probabilities" else pa.string()))
    return schema


def _encodings(schema: pa.Schema) -> dict:
    """Column options: byte-stream splitting for probabilities, which rarely repeat; dictionaries for the others."""
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty, store_schema=False)
    paths = [column.path for column in pq.ParquetFile(empty).schema]
    return {
        "use_dictionary": [path for path in paths if path != _VALUES],
        "column_encoding": {_VALUES: "BYTE_STREAM_SPLIT"},
        "write_statistics": [path for path in paths if path not in (_VALUES, _KEYS)],
    }


def _as_map(scored: Scored) -> pa.Array:
    """The candidates' probabilities as _DICTIONARY_MAP [rows], null in rows without candidates."""
    candidates = ~np.isnan(scored.probabilities)
    llm = np.broadcast_to(np.arange(len(scored.llms), dtype=np.int32), candidates.shape)
    counts = candidates.sum(1, dtype=np.int32)
    ends = np.append(np.int32(0), counts.cumsum(dtype=np.int32))
    if candidates.all():
        number, values = pa.array(llm.ravel()).dictionary_encode(), scored.probabilities.ravel()
    else:
        number, values = pa.array(llm[candidates]).dictionary_encode(), scored.probabilities[candidates]
    # names in order of first appearance, as `_dictionary_encode` orders them
    names = pa.array(scored.llms, pa.string()).take(number.dictionary)
    keys = pa.DictionaryArray.from_arrays(number.indices, names)
    return pa.MapArray.from_arrays(ends, keys, pa.array(values.astype(np.float64)), mask=pa.array(counts == 0))


def _dictionary_encode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Converts _STRING_MAP to _DICTIONARY_MAP."""
    chunks = [
        pa.MapArray.from_arrays(part.offsets, part.keys.dictionary_encode(), part.items, mask=part.is_null())
        for part in column.chunks
    ]
    return pa.chunked_array(chunks, _DICTIONARY_MAP)


_encode = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False).encode


def _to_json(value) -> str:
    """JSON text of a cell; NaN and infinity, which JSON lacks, become null, also within lists."""
    return _encode(value if isinstance(value, str) else jsonable(value))


class _CsvWriter:
    """Writes CSV; unless formulas are kept, a text that a spreadsheet would compute begins with an apostrophe."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, heading: bool = True, keep_formulas: bool = False):
        self.file, self.as_texts = file, (lambda column: column) if keep_formulas else _without_formulas
        names = self.as_texts(pa.array(schema.names, pa.string())).to_pylist()
        fields = [pa.field(name, _csv_type(field.type)) for name, field in zip(names, schema, strict=True)]
        self.schema = pa.schema([*fields, *((name, pa.string()) for name in OUTPUT_COLUMNS)])
        options = pyarrow.csv.WriteOptions(include_header=heading)
        self.writer = pyarrow.csv.CSVWriter(file, self.schema, write_options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.writer.close()

    def write(self, chunk: Chunk, scored: Scored) -> None:
        table = chunk.table()
        columns = [_csv_cells(name, table[name]) for name in table.column_names]
        answers = [scored.llm, pa.array(_as_json(scored), pa.string()), scored.basis, scored.error]
        cells = [self.as_texts(column) for column in (*columns, *answers)]
        self.writer.write_table(pa.Table.from_arrays(cells, schema=self.schema))

    def append(self, part: BinaryIO) -> None:
        shutil.copyfileobj(part, self.file)


class _JsonlWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema, heading: bool = True, keep_formulas: bool = False):
        del schema, heading, keep_formulas
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def write(self, chunk: Chunk, scored: Scored) -> None:
        heads = chunk.lines if chunk.lines is not None else _json_lines(chunk.table())
        llm, basis, error = (_json_cells(column) for column in (scored.llm, scored.basis, scored.error))
        lines = [
            f'{head[:-1]}{", " if head[1:-1].strip() else ""}"llm": {llm}, "probabilities": {shares or "null"}, '
            f'"basis": {basis}, "error": {error}}}\n'
            for head, llm, shares, basis, error in zip(heads, llm, _as_json(scored), basis, error, strict=True)
        ]
        self.file.write("".join(lines).encode())

    def append(self, part: BinaryIO) -> None:
        shutil.copyfileobj(part, self.file)


WRITERS = {".parquet": ParquetWriter, ".csv": _CsvWriter, ".jsonl": _JsonlWriter}


def _as_json(scored: Scored) -> list[str | None]:
    """A JSON object of the candidates' probabilities for each row, six decimals; None in rows without candidates."""
    texts = np.full(len(scored.probabilities), None, object)
    candidates = ~np.isnan(scored.probabilities)
    sets, set_of = distinct_sets(candidates)
    order = np.argsort(set_of, kind="stable")
    ends = np.bincount(set_of, minlength=len(sets)).cumsum()
    for members, rows in zip(sets, np.split(order, ends[:-1]), strict=True):
        if members.any():
            names = [name for name, member in zip(scored.llms, members, strict=True) if member]
            texts[rows] = _objects(names, scored.probabilities[rows][:, members])
    return texts.tolist()


def _objects(names: list[str], values: np.ndarray) -> list[str]:
    """One JSON object a row, all of the same length: the digits are written into a byte template, column by column."""
    template = "{" + ", ".join(f"{json.dumps(name)}: {_SLOT}" for name in names) + "}"
    characters = np.frombuffer(template.encode(), np.uint8)
    slots = np.flatnonzero(characters == ord(_SLOT[0]))
    rows = np.tile(characters, (len(values), 1))
    rows[:, slots] = _decimals(values).reshape(len(values), -1)
    text, width = rows.tobytes().decode("ascii"), len(characters)
    return [text[start : start + width] for start in range(0, len(text), width)]


_SLOT = "\0" * 8  # JSON escapes NUL, so it is in no LLM name
_THREE_DIGITS = np.frombuffer("".join(f"{number:03}" for number in range(1000)).encode(), np.uint8).reshape(1000, 3)


def _decimals(values: np.ndarray) -> np.ndarray:
    """ASCII codes of numbers in [0, 1] with six decimals, such as 0.250000, uint8 [..., 8]."""
    millionths = np.rint(values * 1e6).astype(np.int32)
    characters = np.empty((*values.shape, 8), np.uint8)
    characters[..., 0] = ord("0") + millionths // 1_000_000
    characters[..., 1] = ord(".")
    characters[..., 2:5] = _THREE_DIGITS[millionths // 1000 % 1000]
    characters[..., 5:] = _THREE_DIGITS[millionths % 1000]
    return characters


def _json_lines(table: pa.Table) -> list[str]:
    if not table.num_columns:
        return ["{}"] * table.num_rows
    template = ", ".join(f"{_to_json(name)}: ".replace("%", "%%") + "%s" for name in table.column_names)
    columns = [_json_cells(column) for column in table.columns]
    return [f"{{{template % cells}}}" for cells in zip(*columns, strict=True)]


def _json_cells(column: pa.Array | pa.ChunkedArray) -> list[str]:
    types, kind = pa.types, column.type
    if types.is_string(kind) or types.is_large_string(kind):
        encode = functools.cache(_to_json)  # most texts repeat
        return [encode(cell) for cell in column.to_pylist()]
    if types.is_floating(kind):  # JSON has no NaN
        return [repr(cell) if cell is not None and math.isfinite(cell) else "null" for cell in column.to_pylist()]
    if types.is_integer(kind):
        return ["null" if cell is None else str(cell) for cell in column.to_pylist()]
    return [_to_json(cell) for cell in to_python(column)]


_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001 (spreadsheets read the wide forms too)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def _without_formulas(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A text column with an apostrophe before each cell that a spreadsheet would compute; numbers stay as they are."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    formula = pc.and_not(pc.match_substring_regex(column, _FORMULA), pc.match_substring_regex(column, _NUMBER))  # pyright: ignore[reportAttributeAccessIssue]
    mark, nothing = pa.scalar("'", column.type), pa.scalar("", column.type)
    return pc.if_else(formula, pc.binary_join_element_wise(mark, column, nothing), column)  # pyright: ignore[reportAttributeAccessIssue]


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """The type itself if Arrow writes it to CSV, else string."""
    types = pa.types
    writable = types.is_primitive(kind) and not types.is_float16(kind)
    return kind if writable or types.is_string(kind) or types.is_large_string(kind) else pa.string()


def _joined(names: list) -> str:
    """The names as one text that can be read back."""
    text = "|".join(map(str, names))
    return _to_json(names) if any(mark in str(name) for name in names for mark in "|;,") else text


def _csv_cells(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    if kind == _csv_type(kind):
        return column
    cells = to_python(column)
    if name == "candidates" and kind == LIST:
        return pa.array([None if cell is None else _joined(cell) for cell in cells], pa.string())
    return pa.array([cell if cell is None or isinstance(cell, str) else _to_json(cell) for cell in cells], pa.string())
