"""Reads LLMRouterBench (arXiv 2601.07206): scores, tokens and costs of LLMs on benchmark queries.

The folder has files DATASET/SPLIT/MODEL/TIMESTAMP.json, each with an array of records. DATASET is the task. In a
record, index identifies the query, origin_query is its text, score the effect, cost the cost in USD, and prediction the
answer if it is a text. Only the newest run of each model is read. There are no users; config.data.users can simulate
users.
"""

import os
import pathlib

from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData, errors_name_folder
from prouter_jax.data.public.records import Record
from prouter_jax.io.paths import files_below, make_path

_COLUMNS = ("index", "origin_query", "score", "prompt_tokens", "completion_tokens", "cost", "prediction")
_TOKENS = (("input", "prompt_tokens"), ("output", "completion_tokens"))


def read_llmrouterbench(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads results/bench, or a folder with some of its DATASET folders, or one DATASET folder.

    Drops records whose query is no text or differs from the query of other models at the same index, scores that are
    missing or outside [0, 1], second records of an index in a file, and files of older runs.

    Args:
      path: the folder.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    runs, older = _newest(make_path(path))
    files, builder = FileSet(runs.values(), on_progress), InteractionsBuilder()
    files.drop("files of older runs of a model", older)
    for (dataset, split, model), file in runs.items():
        with errors_name_folder(f"{dataset}/{split}/{model}"):
            for record in files.read(file, _COLUMNS, array="records"):
                reason = _add(record, dataset, split, model, builder)
                if reason:
                    files.drop(reason)
    return builder.build_outcomes_only(files)


def _newest(folder: pathlib.Path) -> tuple[dict[tuple[str, str, str], pathlib.Path], int]:
    """The newest file of each data set, split and model, and the number of older files."""
    found = [folder / name for name in files_below(folder) if name.endswith(".json")]
    found = [file for file in found if len(file.parts) > 3]
    if not found:
        raise ValueError(f"folder {str(folder)!r}: expected DATASET/SPLIT/MODEL/TIMESTAMP.json, found none")
    runs = {(file.parts[-4], file.parts[-3], file.parts[-2]): file for file in found}
    return runs, len(found) - len(runs)


def _add(record: Record, dataset: str, split: str, model: str, builder: InteractionsBuilder) -> str:
    """Adds a record; returns the reason if it is dropped, else ""."""
    score = record.float("score")
    if not record.has("origin_query") or not isinstance(record.cells["origin_query"], str):
        return "records without a query that is a text"
    if not 0 <= score <= 1:
        return "scores that are missing or outside 0 to 1"
    tokens = {f"{side}_tokens": record.float(column, 0) for side, column in _TOKENS}
    cost = record.float("cost", 0)
    response = record.text_or_empty("prediction") if isinstance(record.cells["prediction"], str) else ""
    query = builder.add_query(f"{dataset}/{split}/{record.id('index')}", record.text("origin_query"), dataset)
    if query < 0:
        return "records with another query than other models have at their index"
    builder.add_outcome(query, builder.llms[model], response, effect=score, cost=cost, **tokens)
    return ""
