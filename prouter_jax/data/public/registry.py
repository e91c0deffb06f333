"""A public data set as a folder of tables, with a record of where they come from."""

import json
import os
from collections.abc import Callable

from prouter_jax.data.public.alpacaeval import read_alpacaeval
from prouter_jax.data.public.arena import read_arena
from prouter_jax.data.public.embedllm import read_embedllm
from prouter_jax.data.public.gmtrouter import read_gmtrouter
from prouter_jax.data.public.llmrouterbench import read_llmrouterbench
from prouter_jax.data.public.personaroute import read_personaroute
from prouter_jax.data.public.prism import read_prism
from prouter_jax.data.public.records import OnProgress, Read
from prouter_jax.data.public.routerbench import read_routerbench
from prouter_jax.data.tables.read_write import write_tables
from prouter_jax.io import files
from prouter_jax.io.paths import make_path

FORMATS: dict[str, Callable[..., Read]] = {  # each takes the path and on_progress
    "personaroute": read_personaroute,
    "prism": read_prism,
    "arena": read_arena,
    "routerbench": read_routerbench,
    "llmrouterbench": read_llmrouterbench,
    "embedllm": read_embedllm,
    "alpacaeval": read_alpacaeval,
    "gmtrouter": read_gmtrouter,
}


def read_public(
    name: str, path: str | os.PathLike, llms_path: str | os.PathLike = "", on_progress: OnProgress | None = None
) -> Read:
    """Reads a data set of the format `name`, a key of `FORMATS`.

    Args:
      path: of the file or folder that the format is published as.
      llms_path: of personaroute, its JSON file of LLMs if there is one.
      on_progress: called now and then with the records so far and the share of the bytes.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    if not llms_path:
        return FORMATS[name](path, on_progress=on_progress)
    if name != "personaroute":
        raise ValueError(
            f"{os.fspath(llms_path)}: expected a file of LLMs for personaroute alone, found one for {name}"
        )
    return read_personaroute(path, llms_path, on_progress)


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
