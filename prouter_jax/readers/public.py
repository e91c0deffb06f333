"""The one door to data sets in their published formats."""

import os
from collections.abc import Callable

from prouter_jax.readers.alpacaeval import read_alpacaeval
from prouter_jax.readers.arena import read_arena
from prouter_jax.readers.embedllm import read_embedllm
from prouter_jax.readers.file_set import OnProgress, Read
from prouter_jax.readers.gmtrouter import read_gmtrouter
from prouter_jax.readers.llmrouterbench import read_llmrouterbench
from prouter_jax.readers.personaroute import read_personaroute
from prouter_jax.readers.prism import read_prism
from prouter_jax.readers.routerbench import read_routerbench

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
