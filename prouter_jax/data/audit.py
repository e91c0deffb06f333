"""Finds the id of a user in files of any kind, by reading them: tables, JSON, arrays, compressed and other files.

An id is found as a whole value, or as a word within a text: as it is, or escaped for JSON, URLs or HTML. A short id
(fewer than three characters, or fewer than six digits) would be found everywhere, so it is searched among whole values
alone, and ids of fewer than five characters are not searched in bytes that are neither a table nor text.
"""

import contextlib
import gzip
import html
import io
import json
import pathlib
import re
import urllib.parse
import zipfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data.tables.file_forms import file_format
from prouter_jax.data.tables.files import csv_rows
from prouter_jax.io.paths import files_below

_SHORT, _SHORT_NUMBER, _FEWEST_BYTES = 3, 6, 5
_ZSTD, _GZIP, _ZIP, _NPY, _PARQUET = b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x93NUMPY", b"PAR1"
_PIECE = 1 << 20
_PIECE_OF_FRAME = 1 << 12
_DEEPEST = 3  # archives within archives


class IdSearch:
    """The search for one id.

    Args:
      user: the id.
    """

    def __init__(self, user: str):
        self.user = user
        escaped = {json.dumps(user)[1:-1], json.dumps(user, ensure_ascii=False)[1:-1], html.escape(user)}
        quoted = {urllib.parse.quote(user, safe=""), urllib.parse.quote_plus(user), urllib.parse.quote(user)}
        forms = sorted({user} | escaped | quoted, key=len, reverse=True)
        any_form = b"|".join(re.escape(_encoded(form)) for form in forms)
        self._pattern = re.compile(rb"(?<![A-Za-z0-9_])(?:%s)(?![A-Za-z0-9_])" % any_form)
        self._whole_only = len(user) < _SHORT or (user.isdecimal() and len(user) < _SHORT_NUMBER)

    def in_folder(self, folder: pathlib.Path) -> list[str]:
        """The names of the files below a folder that hold the id, or have it in their name, each with a place in it."""
        found = []
        for name in files_below(folder):
            place = "its name" if self._in_text(name.replace("/", " ")) else self.in_file(folder / name)
            found += [f"{name}: {place}"] if place else []
        return found

    def in_file(self, path: pathlib.Path) -> str:
        """A place in a file that holds the id, such as "column user_id"; "" if there is none."""
        if file_format(path) == ".csv":
            with_header = enumerate(csv_rows(path), -1)
            return next((f"row {row}" for row, cells in with_header if any(map(self._in_text, cells))), "")
        return self._in_bytes(path.read_bytes())

    def _in_bytes(self, data: bytes, depth: int = 0) -> str:
        if data[:4] == _PARQUET:
            return self._in_parquet(data)
        if data[:6] == _NPY:
            return self._in_array(data)
        text = _decoded(data)
        if text is not None:
            return self._in_json(text) or ("its text" if not self._whole_only and self._pattern.search(data) else "")
        return self._in_binary(data) or self._in_compressed(data, depth)

    def _in_parquet(self, data: bytes) -> str:
        """Dictionaries of text columns are read whole: they may hold ids that no row names any more."""
        source = pa.BufferReader(data)
        schema = pq.read_schema(source)
        file = pq.ParquetFile(source, read_dictionary=[column.path for column in pq.ParquetFile(source).schema])
        for batch in file.iter_batches():
            for name, column in zip(schema.names, batch.columns, strict=True):
                if any(map(self._in_text, _values(column, name == "user_id"))):
                    return f"column {name}"
        return self._in_binary(data)

    def _in_array(self, data: bytes) -> str:
        array = np.load(io.BytesIO(data), allow_pickle=False)
        texts = array.ravel().tolist() if array.dtype.kind in "US" else []
        texts = (text.decode(errors="replace") if isinstance(text, bytes) else text for text in texts)
        return "a text" if any(map(self._in_text, texts)) else self._in_binary(data)

    def _in_json(self, text: str) -> str:
        """Of a JSON or JSONL file; "" for another text."""
        for row, line in enumerate([text] if _is_json(text) else text.splitlines()):
            try:
                if line.strip() and any(map(self._in_text, _json_values(json.loads(line)))):
                    return f"row {row}"
            except (ValueError, RecursionError):
                return ""
        return ""

    def _in_binary(self, data: bytes) -> str:
        return "its bytes" if len(self.user) >= _FEWEST_BYTES and self._pattern.search(data) else ""

    def _in_compressed(self, data: bytes, depth: int) -> str:
        for kind, content in _unpacked(data) if depth < _DEEPEST else ():
            if place := self._in_bytes(content, depth + 1):
                return f"{place} ({kind})"
        return ""

    def _in_text(self, value: str) -> bool:
        if self._whole_only:
            return value == self.user
        return value == self.user or bool(self._pattern.search(_encoded(value)))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str | None:
    """Bytes as a text; None if they are none."""
    if b"\0" in data[:_PIECE]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json_values(value, key: str = "") -> Iterator[str]:
    """All texts and keys of a JSON value, and whole numbers under the key user_id."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _json_values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _json_values(inner, key)
    elif isinstance(value, str) or (key == "user_id" and type(value) in (int, float)):
        yield _shown(value)


def _values(column: pa.Array, numbers: bool) -> Iterator[str]:
    """The distinct texts of an Arrow array of any type, those in lists and structures among them."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _values(column.dictionary, numbers)
    elif pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            yield from _values(column.field(index), numbers)
    elif pa.types.is_map(kind):
        yield from _values(column.keys, numbers)
        yield from _values(column.items, numbers)
    elif pa.types.is_nested(kind):
        yield from _values(column.flatten(), numbers)
    elif (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind)))
    ):
        yield from (_shown(value) for value in column.unique().to_pylist() if value is not None)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield from (value.decode(errors="replace") for value in column.unique().to_pylist() if value is not None)


def _shown(value: str | float) -> str:
    """A value as an id: whole numbers are texts of their digits."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is compressed in bytes of any format: members of a ZIP file, gzip, and every frame of Zstandard."""
    if data[:4] == _ZIP:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (("ZIP", archive.read(name)) for name in archive.namelist())
    elif data[:3] == _GZIP:
        yield "gzip", gzip.decompress(data)
    else:
        for match in re.finditer(re.escape(_ZSTD), data):
            yield "Zstandard", _frame(data, match.start())


def _frame(data: bytes, start: int) -> bytes:
    """A frame of Zstandard, as far as it can be read.

    Where other bytes follow the frame, Arrow gives nothing of the piece in which it ends: it is read byte by
    byte.
    """
    pieces: list[bytes] = []
    for size in (_PIECE_OF_FRAME, 1):
        with contextlib.suppress(OSError), pa.BufferReader(memoryview(data)[start:]) as source:
            stream = pa.CompressedInputStream(source, "zstd")
            for piece in pieces:
                stream.read(len(piece))
            while piece := stream.read(size):
                pieces.append(piece)
            break
    return b"".join(pieces)
