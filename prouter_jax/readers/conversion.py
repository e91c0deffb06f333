"""A public data set as a folder of tables, with a record of where they come from."""

import json
import os

from prouter_jax import files
from prouter_jax.paths import make_path
from prouter_jax.readers.file_set import OnProgress, Read
from prouter_jax.readers.public import read_public
from prouter_jax.readers.tables import write_tables

CONVERSION = "conversion.json"


def convert(
    name: str,
    path: str | os.PathLike,
    out: str | os.PathLike,
    llms_path: str | os.PathLike = "",
    on_progress: OnProgress | None = None,
) -> dict:
    """Reads a data set as `read_public` does and writes its tables, then OUT/conversion.json.

    Args:
      out: a folder without other tables; made where it is missing.

    Returns:
      what conversion.json holds: the format, the SHA-256 of each file that was read, and the counts of records, of what
      was dropped and of what was written.

    Raises:
      ValueError: one line, on bad input or a folder that holds other tables.
    """
    read = read_public(name, path, llms_path, on_progress)
    root = make_path(path)
    summary = {
        "format": name,
        "files": {_relative(file, root): files.sha256_of(file) for file in read.files},
        "records": read.records,
        "dropped": read.dropped,
        "written": _counts(read),
    }
    write_tables(read.data, out)
    files.write_whole(make_path(out) / CONVERSION, json.dumps(summary, indent=2) + "\n")
    return summary


def _relative(file: os.PathLike, root: os.PathLike) -> str:
    """A file's place in the data set, or its name."""
    text, folder = str(file), f"{root}/"
    return text.removeprefix(folder) if text.startswith(folder) else make_path(file).name


def _counts(read: Read) -> dict[str, int]:
    data = read.data
    tables = {"users": data.users, "tasks": data.tasks, "queries": data.queries, "LLMs": data.llms}
    counts = {name: len(table.ids) for name, table in tables.items()}
    return counts | {"outcomes": len(data.outcomes.query), "decisions": len(data.decisions.user)}
