"""The formats of public data sets by name, and their conversion to a folder of tables."""

import json
import os
import pathlib
from collections.abc import Callable

from prouter_jax.data.public.benchmarks import read_alpacaeval, read_embedllm, read_llmrouterbench, read_routerbench
from prouter_jax.data.public.llm_file import llm_files, with_llm_file
from prouter_jax.data.public.pairs import read_arena, read_chosen_rejected
from prouter_jax.data.public.personaroute import read_personaroute
from prouter_jax.data.public.preferences import read_gmtrouter, read_prism
from prouter_jax.data.public.records import ProgressCallback, PublicData
from prouter_jax.data.public.ulab import read_llmrouter, read_routeprofile
from prouter_jax.data.tables.file_forms import data_files
from prouter_jax.data.tables.places import errors_have_places
from prouter_jax.data.tables.read_write import find_tables, write_tables
from prouter_jax.data.tables.unfinished import is_unfinished, mark_finished, mark_unfinished
from prouter_jax.io import files
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import files_below, make_path, read_text

CONVERSION = "conversion.json"
FORMATS: dict[str, Callable[..., PublicData]] = {  # readers by name of the format
    "personaroute": read_personaroute,
    "prism": read_prism,
    "arena": read_arena,
    "routerbench": read_routerbench,
    "llmrouterbench": read_llmrouterbench,
    "embedllm": read_embedllm,
    "alpacaeval": read_alpacaeval,
    "gmtrouter": read_gmtrouter,
    "llmrouter": read_llmrouter,
    "routeprofile": read_routeprofile,
    "chosen_rejected": read_chosen_rejected,
}


def read_public(
    name: str, path: str | os.PathLike, llms_path: str | os.PathLike = "", on_progress: ProgressCallback | None = None
) -> PublicData:
    """Reads a public data set.

    Args:
      name: the format, a key of `FORMATS`.
      path: the file or folder as published.
      llms_path: JSON file {LLM: {feature, input_price, output_price}} with prices in USD per million tokens, as
        PersonaRoute-Bench and LLMRouter publish it, or xRouteBench's table llm_candidates; "" for none.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    with errors_have_places(lambda: _inputs(path, llms_path)):
        if name == "personaroute":
            return read_personaroute(path, llms_path, on_progress)
        read = FORMATS[name](path, on_progress=on_progress)
        return with_llm_file(read, make_path(llms_path)) if llms_path else read


def _inputs(path: str | os.PathLike, llms_path: str | os.PathLike) -> list[pathlib.Path]:
    """The files that an error may be about."""
    root = make_path(path)
    found = [root / name for name in files_below(root)] if root.is_dir() else data_files(root)
    return [*found, *(llm_files(make_path(llms_path)) if llms_path else [])]


def convert(
    name: str,
    path: str | os.PathLike,
    out: str | os.PathLike,
    llms_path: str | os.PathLike = "",
    on_progress: ProgressCallback | None = None,
) -> dict:
    """Reads a public data set and writes it as a folder of tables with conversion.json, a record of the conversion.

    Args:
      name, path, llms_path, on_progress: as in `read_public`.
      out: a folder without other tables; created if it does not exist.

    Returns:
      The content of conversion.json: the format, the SHA-256 of each file that was read, the number of records, the
      number of dropped items by reason and the number of rows written by table.

    Raises:
      ValueError: one line, for bad input, a folder that holds other tables, or one that another command writes to.
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
    out = make_path(out)
    with lock_folder(out):
        text = json.dumps(summary, indent=2) + "\n"
        again = (out / CONVERSION).exists() and read_text(out / CONVERSION) == text
        found = find_tables(out)
        if found and not (again or is_unfinished(out)):
            raise ValueError(f"{out}: expected a folder without tables of other data, found {found[0]}; name another")
        mark_unfinished(out)
        write_tables(read.data, out)
        files.write_whole(out / CONVERSION, text)
        mark_finished(out)
    return summary


def _relative(file: os.PathLike, root: os.PathLike) -> str:
    """The path of a file inside the folder of the data set, or else its name."""
    text, folder = str(file), f"{root}/"
    return text.removeprefix(folder) if text.startswith(folder) else make_path(file).name


def _counts(read: PublicData) -> dict[str, int]:
    data = read.data
    tables = {"users": data.users, "tasks": data.tasks, "queries": data.queries, "LLMs": data.llms}
    counts = {name: len(table.ids) for name, table in tables.items()}
    return counts | {"outcomes": len(data.outcomes.query), "decisions": len(data.decisions.user)}
