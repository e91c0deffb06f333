"""Takes a user out of table files: the rows of the user, and what refers to these rows alone.

Other rows stay as they are: in CSV and JSONL to the byte. A Parquet file or a JSON array is written anew.
"""

import csv
import gzip
import itertools
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data import cells
from prouter_jax.data.tables.file_forms import file_format, is_table, table_files
from prouter_jax.data.tables.files import json_elements, read_cells
from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.schema import SCHEMAS
from prouter_jax.io import files
from prouter_jax.io.paths import arrow_file, files_below, open_text
from prouter_jax.io.separated import csv_reader

_USER, _DECISION, _OFFER, _QUERY = "user_id", "decision_id", "offer", "query_id"
_OF_LOGS = "log.json"  # in a folder that `prouter logs` wrote
_ASKED = ("queries", "outcomes")  # tables of queries in such a folder
_NAMES = (*SCHEMAS, "logged")


def has_user(path: pathlib.Path, user: str) -> bool:
    """Whether a table file has a row of a user.

    Raises:
      ValueError: if the file is damaged.
    """
    ids = _ids(path, _USER)
    return ids is not None and bool(_named(ids, pa.array([user])).any())


def remove_user(path: pathlib.Path, user: str) -> int:
    """Removes a user's rows from a table file; a file without any other row is deleted.

    Args:
      user: a user_id.

    Returns:
      The number of rows that were removed; 0 for a file without a column user_id.

    Raises:
      ValueError: if the file is damaged.
    """
    return _remove(path, _USER, pa.array([user]), keeps=False)


def remove_user_from_folder(folder: pathlib.Path, user: str) -> int:
    """Removes a user from a folder of tables.

    Feedback, logged values and candidate sets of decisions that are gone go as well, and in a folder of `prouter logs`
    the queries that nobody else asked, with their outcomes.

    Returns:
      The number of the user's rows that were removed.

    Raises:
      ValueError: if a file is damaged.
    """
    removed = sum(remove_user(path, user) for path in tables_below(folder))
    tables = table_files(folder, _NAMES)
    if "decisions" in tables or "feedback" in tables:
        _keep_named(tables, _DECISION, ["decisions"], [name for name in tables if name != "decisions"])
        _keep_named(tables, _OFFER, ["decisions"], ["offers"])
    if (folder / _OF_LOGS).exists() and removed:
        _keep_named(tables, _QUERY, [name for name in tables if name not in _ASKED], _ASKED)
    return removed


def tables_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """The table files in a folder at any depth."""
    return [path for name in files_below(folder) if is_table(path := folder / name)]


def _keep_named(tables: dict[str, list[pathlib.Path]], column: str, by: Iterable[str], among: Iterable[str]) -> None:
    """Keeps the rows of the tables `among` whose id in `column` occurs in one of the tables `by`."""
    found = [_ids(path, column) for name in by for path in tables.get(name, [])]
    ids = pa.chunked_array([ids for ids in found if ids is not None] or [pa.array([], pa.large_string())])
    for name in among:
        for path in tables.get(name, []):
            _remove(path, column, ids.combine_chunks(), keeps=True)


def _ids(path: pathlib.Path, column: str) -> pa.Array | None:
    """The ids in a column as texts, read as tables are; None if the file has no such column."""
    found = read_cells(path, [column])[0].get(column)
    if found is None:
        return None
    return cells.texts(cells.column_of(found) if isinstance(found, list) else found)[0]


def _remove(path: pathlib.Path, column: str, ids: pa.Array, keeps: bool) -> int:
    """Removes the rows whose id is among `ids`, or with `keeps` those whose id is not; returns their number."""
    found = _ids(path, column)
    if found is None:
        return 0
    named = _named(found, ids)
    stay = named if keeps else ~named
    if stay.all():
        return 0
    if not stay.any():
        path.unlink()
    elif file_format(path) == ".parquet":
        table = pq.read_table(arrow_file(path)).filter(pa.array(stay))
        write_parquet(path, pa.table([_without_unused(column) for column in table.columns], table.column_names))
    else:
        content = _KEPT[file_format(path)](path, stay)
        files.write_whole(path, gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content)
    return int((~stay).sum())


def _named(column: pa.Array, ids: pa.Array) -> np.ndarray:
    """Whether each cell is one of some ids, bool [cells]."""
    encoded, wanted = column.dictionary_encode(), set(ids.to_pylist())
    member = np.array([value in wanted for value in encoded.dictionary.to_pylist()] + [False])
    return member[encoded.indices.fill_null(-1).to_numpy()]


def _without_unused(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """The same cells; a dictionary has the values alone that are still used, in the order of their appearance."""
    return cells.decoded(column).dictionary_encode() if pa.types.is_dictionary(column.type) else column


def _kept_csv(path: pathlib.Path, stay: np.ndarray) -> bytes:
    header, *rows = _csv_lines(path)
    return b"".join([header, *itertools.compress(rows, stay)])


def _kept_jsonl(path: pathlib.Path, stay: np.ndarray) -> bytes:
    return b"".join(itertools.compress(_jsonl_lines(path), stay))


def _kept_json(path: pathlib.Path, stay: np.ndarray) -> bytes:
    elements = [element for element, _ in json_elements(path)]
    return json.dumps(list(itertools.compress(elements, stay))).encode()


def _csv_lines(path: pathlib.Path) -> Iterator[bytes]:
    """The bytes of the header and of each row; a row may have several lines, and blank ones after it."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        lines = list(_lines(path))
        reader, begun = csv_reader(lines), 0
        held = b""
        for record in reader:
            held, begun = held + _bytes(lines[begun : reader.line_num]), reader.line_num
            if record:
                yield held
                held = b""
    finally:
        csv.field_size_limit(limit)


def _jsonl_lines(path: pathlib.Path) -> Iterator[bytes]:
    """The bytes of each row, with blank lines before it."""
    held = b""
    for line in _lines(path):
        held += _bytes([line])
        if line.strip().strip("\ufeff"):
            yield held
            held = b""


def _lines(path: pathlib.Path) -> Iterator[str]:
    with open_text(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield from file


def _bytes(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


_KEPT = {".csv": _kept_csv, ".jsonl": _kept_jsonl, ".json": _kept_json}  # the bytes of some rows, by format
