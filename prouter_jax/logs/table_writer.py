"""Parquet tables that are written piece by piece, and all appear at the end or none."""

import contextlib
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax import files


class TableWriter:
    """A context manager; a table that nothing was written to does not appear.

    What is written first appears last, so that a folder without it passes for nothing.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._stack = folder, contextlib.ExitStack()
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    @property
    def files(self) -> set[str]:
        """Names of those that were begun."""
        return {f"{name}.parquet" for name in self._writers}

    def write(self, name: str, columns: dict) -> None:
        """More rows of a table; columns as `pa.table` takes them, of the same types each time."""
        table = pa.table(columns)
        if not table.num_rows:
            return
        if name not in self._writers:
            file = self._stack.enter_context(files.open_whole(self._folder / f"{name}.parquet"))
            options = {"compression": "zstd", "write_page_checksum": True}
            self._writers[name] = self._stack.enter_context(pq.ParquetWriter(file, table.schema, **options))
        self._writers[name].write_table(table)
