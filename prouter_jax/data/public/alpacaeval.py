"""Reads AlpacaEval's results folder (github.com/tatsu-lab/alpaca_eval): answers of LLMs and GPT-4-Turbo's verdicts.

Each folder MODEL has model_outputs.json and weighted_alpaca_eval_gpt4_turbo/annotations.json. An instruction is a query
(q0000, q0001, ... by first appearance); its task is `dataset`. The effect is preference - 1, the probability that the
answer beats the answer of gpt4_1106_preview. There are no users and no costs; config.data.users can simulate users.
"""

import os
import pathlib

import numpy as np

from prouter_jax.data.public.builder import InteractionsBuilder, RowIndex
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData, errors_name_folder
from prouter_jax.io.paths import list_folder, make_path

_OUTPUTS = "model_outputs.json"
_VERDICTS = "weighted_alpaca_eval_gpt4_turbo"


def read_alpacaeval(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads the folder `results`.

    Drops answers without a verdict, second answers to an instruction, and models with only one of the two files.

    Args:
      path: the folder, with a folder for each model.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    folder = make_path(path)
    found = {model: (model / _OUTPUTS, model / _VERDICTS / "annotations.json") for model in sorted(list_folder(folder))}
    models = {model.name: pair for model, pair in found.items() if all(file.is_file() for file in pair)}
    if not models:
        expected = f"MODEL/{_OUTPUTS} and MODEL/{_VERDICTS}/annotations.json"
        raise ValueError(f"folder {str(folder)!r}: expected {expected}, found none")
    files, builder = FileSet([file for pair in models.values() for file in pair], on_progress), InteractionsBuilder()
    incomplete = sum(any(file.is_file() for file in pair) for pair in found.values()) - len(models)
    files.drop("models without outputs or verdicts", incomplete)
    ids = RowIndex()
    for model, (outputs, verdicts) in models.items():
        with errors_name_folder(model):
            _add(model, outputs, _preferences(files, verdicts), ids, files, builder)
    return builder.build_outcomes_only(files)


def _preferences(files: FileSet, verdicts: pathlib.Path) -> dict[str, float]:
    """By instruction, a number from 1 (the reference answer is preferred) to 2 (the answer of the model is)."""
    preferences: dict[str, float] = {}
    for verdict in files.read(verdicts, ["instruction", "preference"]):
        preferences.setdefault(verdict.text("instruction"), verdict.float("preference", 1, 2))
    return preferences


def _add(
    model: str,
    outputs: pathlib.Path,
    preferences: dict[str, float],
    ids: RowIndex,
    files: FileSet,
    builder: InteractionsBuilder,
) -> None:
    """Adds the answers of one model; `ids` numbers the instructions of all models."""
    for answer in files.read(outputs, ["instruction", "output"], ["dataset"]):
        text, response = answer.text("instruction"), answer.text_or_empty("output")
        query = builder.add_query(f"q{ids[text]:04d}", text, answer.text_or_empty("dataset"))
        effect = preferences.get(text, np.nan) - 1
        if np.isnan(effect):
            files.drop("answers without a verdict")
        else:
            builder.add_outcome(query, builder.llms[model], response, effect=effect)
