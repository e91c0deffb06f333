"""AlpacaEval's results folder (github.com/tatsu-lab/alpaca_eval): answers of LLMs, and GPT-4-Turbo's verdicts on them.

Each folder MODEL has model_outputs.json and weighted_alpaca_eval_gpt4_turbo/annotations.json. An instruction is a query
(q0000, q0001, ... by first appearance) of the task `dataset`; the effect is preference - 1, the probability that the
answer beats gpt4_1106_preview's. Nobody chose, and costs are not told. config.data.users can simulate users.
"""

import os
import pathlib

import numpy as np

from prouter_jax.data.public.builder import Collected, Names
from prouter_jax.data.public.records import FileSet, OnProgress, Read, of_folder
from prouter_jax.io.paths import list_folder, make_path

_OUTPUTS = "model_outputs.json"
_VERDICTS = "weighted_alpaca_eval_gpt4_turbo"


def read_alpacaeval(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads the folder `results`.

    Dropped are answers without a verdict, second answers to an instruction, and models that have one file alone.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    folder = make_path(path)
    found = {model: (model / _OUTPUTS, model / _VERDICTS / "annotations.json") for model in sorted(list_folder(folder))}
    models = {model.name: pair for model, pair in found.items() if all(file.is_file() for file in pair)}
    if not models:
        expected = f"MODEL/{_OUTPUTS} and MODEL/{_VERDICTS}/annotations.json"
        raise ValueError(f"folder {str(folder)!r}: expected {expected}, found none")
    files, collected = FileSet([file for pair in models.values() for file in pair], on_progress), Collected()
    begun = sum(any(file.is_file() for file in pair) for pair in found.values())
    files.drop("models without outputs or verdicts", begun - len(models))
    ids = Names()
    for model, (outputs, verdicts) in models.items():
        with of_folder(model):
            _add(model, outputs, _preferences(files, verdicts), ids, files, collected)
    return collected.outcomes_alone(files)


def _preferences(files: FileSet, verdicts: pathlib.Path) -> dict[str, float]:
    """Of each instruction, 1 where the reference's answer is preferred and 2 where the model's is."""
    preferences: dict[str, float] = {}
    for verdict in files.read(verdicts, ["instruction", "preference"]):
        preferences.setdefault(verdict.text("instruction"), verdict.float("preference", 1, 2))
    return preferences


def _add(
    model: str, outputs: pathlib.Path, preferences: dict[str, float], ids: Names, files: FileSet, collected: Collected
) -> None:
    for answer in files.read(outputs, ["instruction", "output"], ["dataset"]):
        text, response = answer.text("instruction"), answer.text_or_none("output")
        query = collected.query(f"q{ids[text]:04d}", text, answer.text_or_none("dataset"))
        effect = preferences.get(text, np.nan) - 1
        if np.isnan(effect):
            files.drop("answers without a verdict")
        else:
            collected.outcome(query, collected.llms[model], response, effect=effect)
