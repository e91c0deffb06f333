"""LLMRouterBench (arXiv 2601.07206): scores, tokens and costs of LLMs on benchmark queries. Nobody chose.

The folder has DATASET/SPLIT/MODEL/TIMESTAMP.json, each with an array of records. DATASET is the task, a record's index
names the query origin_query, score is the effect, cost in USD, prediction the answer where it is a text. Of several
runs of a model the newest is read. config.data.users can simulate users.
"""

import os
import pathlib

from prouter_jax.data.public.builder import Collected
from prouter_jax.data.public.records import FileSet, OnProgress, Read, Record, of_folder
from prouter_jax.io.paths import files_below, make_path

_COLUMNS = ("index", "origin_query", "score", "prompt_tokens", "completion_tokens", "cost", "prediction")


def read_llmrouterbench(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads results/bench or any folder in it that holds whole DATASET folders, or one of them.

    Dropped are records without a text as a query, or with another one than other models have at their index, scores
    that are missing or outside 0 to 1, second records of an index in a file, and files of older runs.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    runs, older = _newest(make_path(path))
    files, collected = FileSet(runs.values(), on_progress), Collected()
    files.drop("files of older runs of a model", older)
    for (dataset, split, model), file in runs.items():
        with of_folder(f"{dataset}/{split}/{model}"):
            for record in files.read(file, _COLUMNS, array="records"):
                reason = _add(record, dataset, split, model, collected)
                if reason:
                    files.drop(reason)
    return collected.outcomes_alone(files)


def _newest(folder: pathlib.Path) -> tuple[dict[tuple[str, str, str], pathlib.Path], int]:
    """The newest file by data set, split and model, and how many older ones there are."""
    found = [folder / name for name in files_below(folder) if name.endswith(".json")]
    found = [file for file in found if len(file.parts) > 3]
    if not found:
        raise ValueError(f"folder {str(folder)!r}: expected DATASET/SPLIT/MODEL/TIMESTAMP.json, found none")
    runs = {(file.parts[-4], file.parts[-3], file.parts[-2]): file for file in found}
    return runs, len(found) - len(runs)


def _add(record: Record, dataset: str, split: str, model: str, collected: Collected) -> str:
    """Takes a record in, or tells what it is that is dropped."""
    score = record.float("score")
    if not record.has("origin_query") or not isinstance(record.cells["origin_query"], str):
        return "records without a query that is a text"
    if not 0 <= score <= 1:
        return "scores that are missing or outside 0 to 1"
    tokens = {f"{side}_tokens": record.float(column, 0) for side, column in _TOKENS}
    cost = record.float("cost", 0)
    response = record.text_or_none("prediction") if isinstance(record.cells["prediction"], str) else ""
    query = collected.query(f"{dataset}/{split}/{record.id('index')}", record.text("origin_query"), dataset)
    if query < 0:
        return "records with another query than other models have at their index"
    collected.outcome(query, collected.llms[model], response, effect=score, cost=cost, **tokens)
    return ""


_TOKENS = (("input", "prompt_tokens"), ("output", "completion_tokens"))
