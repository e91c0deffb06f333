"""A query set of any of the known formats as one table of queries, their references and their metrics."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax import files
from prouter_jax.paths import make_path
from prouter_jax.readers.file_set import FileSet, OnProgress
from prouter_jax.readers.query_formats import COLUMNS, FORMATS, Query

_ROWS_AT_ONCE = 10_000
_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])


def write_query_set(
    name: str,
    path: str | os.PathLike,
    out: str | os.PathLike,
    most: int = 0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
) -> dict:
    """Writes a Parquet table of COLUMNS.

    Args:
      name: a key of `query_formats.FORMATS`.
      most: keep so many, drawn at random with `seed`, in their order; 0 for all.
      columns: of "columns", what the file calls a column of ours that has another name there.

    Returns:
      counts: {"records", "dropped": by reason, "written"}.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    path, out = make_path(path), make_path(out)
    if out.suffix != ".parquet":
        raise ValueError(f"{out}: expected a .parquet file to write")
    file_set = FileSet([path], on_progress)
    queries = _unique(FORMATS[name](file_set, path, columns or {}), file_set)
    written = _write(_sample(queries, most, seed) if most else queries, out, file_set)
    return {"records": file_set.records, "dropped": dict(file_set.dropped), "written": written}


def _unique(queries: Iterator[Query], file_set: FileSet) -> Iterator[Query]:
    seen: set[str] = set()
    for query in queries:
        if query.query_id in seen:
            file_set.drop("queries of an id that came before")
        else:
            seen.add(query.query_id)
            yield query


def _sample(queries: Iterator[Query], most: int, seed: int) -> Iterator[Query]:
    """`most` of the queries, each set of them as likely (Vitter's algorithm R, 1985), in their order."""
    rng, kept = np.random.default_rng(seed), []
    for number, query in enumerate(queries):
        if number < most:
            kept.append((number, query))
        elif (place := int(rng.integers(number + 1))) < most:
            kept[place] = (number, query)
    yield from (query for _, query in sorted(kept, key=lambda pair: pair[0]))


def _write(queries: Iterator[Query], out: pathlib.Path, file_set: FileSet) -> int:
    written = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with files.open_whole(out) as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        while rows := [dataclasses.asdict(query) for query in itertools.islice(queries, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
            written += len(rows)
        if not written:
            raise file_set.nothing_left("a query")
    return written
