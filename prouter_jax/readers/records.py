"""The records of a file, one after the other: .csv, .jsonl, .parquet or .json, whatever its length."""

import contextlib
import pathlib
from collections.abc import Generator, Iterable

from prouter_jax.paths import file_size
from prouter_jax.readers.formats import csv_rows, jsonl_rows
from prouter_jax.readers.json_elements import json_elements
from prouter_jax.readers.parquet_stream import parquet_size, parquet_tables
from prouter_jax.readers.record import Record

_ROWS_AT_ONCE = 1000  # of Parquet


def read_records(
    path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
) -> Generator[tuple[Record, float], None, None]:
    """The records with the wanted columns, and about how many bytes of the file each took.

    Args:
      needed: columns that a table must have; an object of JSON that lacks one has none in that record.
      optional: columns that may be missing.
      array: of a .json file, the name of the array in the object that it is; "" if the file is an array.

    Raises:
      ValueError: one line that names the file and, where there is one, the record.
    """
    wanted = (*needed, *optional)
    if path.suffix not in _READ:
        raise ValueError(f"table {path.name}: expected one of {', '.join(_READ)}, found {path.suffix!r}")
    number = -1
    with contextlib.closing(_READ[path.suffix](path, tuple(needed), wanted, array)) as found:
        for number, (cells, size) in enumerate(found):
            yield Record(path.name, number, cells), size
    if number < 0:
        raise ValueError(f"table {path.name}: expected at least one row, found none")


def header(path: pathlib.Path) -> list[str]:
    """The names of the columns of a .csv or .parquet file.

    Raises:
      ValueError: if it cannot be read, or is of another kind.
    """
    if path.suffix == ".parquet":
        return parquet_size(path)[0].names
    if path.suffix != ".csv":
        raise ValueError(f"table {path.name}: expected .csv or .parquet, found {path.suffix!r}")
    with contextlib.closing(csv_rows(path)) as rows:
        return next(rows, [])


_Cells = Generator[tuple[dict, float], None, None]


def _csv(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    with contextlib.closing(csv_rows(path)) as rows:
        names = next(rows, [])
        _check_once(path, names, needed, wanted)
        places = {name: names.index(name) for name in wanted if name in names}
        for row in rows:
            yield {name: row[place] for name, place in places.items()}, sum(map(len, row)) + len(row)


def _jsonl(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    del needed  # what an object lacks is missing in its record alone
    with contextlib.closing(jsonl_rows(path)) as rows:
        for cells, size in rows:
            yield {name: cells.get(name) for name in wanted}, size


def _json(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], array: str) -> _Cells:
    del needed
    with contextlib.closing(json_elements(path, array)) as elements:
        for row, (cells, size) in enumerate(elements):
            if not isinstance(cells, dict):
                raise ValueError(f"table {path.name}, row {row}: expected a JSON object, found {str(cells)[:80]!a}")
            yield {name: cells.get(name) for name in wanted}, size


def _parquet(path: pathlib.Path, needed: tuple[str, ...], wanted: tuple[str, ...], _: str) -> _Cells:
    schema, total = parquet_size(path)
    _check_once(path, schema.names, needed, wanted)
    columns = [name for name in wanted if name in schema.names]
    size = file_size(path) / max(total, 1)
    for table in parquet_tables(path, _ROWS_AT_ONCE, 0, total, columns):
        yield from ((cells, size) for cells in table.to_pylist())


_READ = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".json": _json}


def _check_once(path: pathlib.Path, names: list[str], needed: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """What is needed must be there; nothing that is wanted may be there twice."""
    for name in wanted:
        times = names.count(name)
        if times > 1 or (times == 0 and name in needed):
            raise ValueError(f"table {path.name}, column {name}: expected it once, found it {times} times")
