"""Reads AlpacaEval, EmbedLLM, LLMRouterBench and RouterBench: answers of LLMs with their effects, without users.

config.data.users can simulate users. Each reader takes the file or folder as published and `on_progress` (see
`FileSet`), and raises a ValueError of one line that names file, column and row, what was expected and what was found.
"""

import os
import pathlib
import re

import numpy as np

from prouter_jax.data.literals import parse_value
from prouter_jax.data.public.builder import InteractionsBuilder, RowIndex
from prouter_jax.data.public.records import (
    FileSet,
    ProgressCallback,
    PublicData,
    Record,
    column_names,
    errors_name_folder,
)
from prouter_jax.data.tables.file_forms import data_files
from prouter_jax.data.tables.files import json_fields
from prouter_jax.io.paths import files_below, list_folder, make_path

_OUTPUTS = "model_outputs.json"
_VERDICTS = "weighted_alpaca_eval_gpt4_turbo"

_EMBEDLLM = ("prompt_id", "label", "model_name", "category", "prompt")

_LLMROUTERBENCH = ("index", "origin_query", "score", "prompt_tokens", "completion_tokens", "cost", "prediction")
_RUN_FIELDS = ("dataset_name", "split", "model_name")
_TIMESTAMP = re.compile(r"(\d{8}_\d{6})\.json$")
_TOKENS = (("input", "prompt_tokens"), ("output", "completion_tokens"))

_ROUTERBENCH = ("sample_id", "prompt", "eval_name")
_COST, _RESPONSE = "|total_cost", "|model_response"
_PICKLES = (".pkl", ".pickle")


def read_alpacaeval(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads AlpacaEval's results folder (github.com/tatsu-lab/alpaca_eval): answers of LLMs and GPT-4-Turbo's verdicts.

    Each folder MODEL has model_outputs.json and weighted_alpaca_eval_gpt4_turbo/annotations.json. An instruction is a
    query (q0000, q0001, ... by first appearance); its task is `dataset`. The effect is preference - 1, the probability
    that the answer beats the answer of gpt4_1106_preview. There are no costs.

    Drops answers without a verdict, second answers to an instruction, and models with only one of the two files.
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
            _add_alpacaeval(model, outputs, _preferences(files, verdicts), ids, files, builder)
    return builder.build_outcomes_only(files)


def read_embedllm(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads EmbedLLM (arXiv 2410.02223), train.csv, val.csv or test.csv: whether 112 LLMs answer questions correctly.

    Files of huggingface.co/datasets/RZ412/EmbedLLM, also its Parquet shards, which has no codebook and no marks for
    missing values. Each row is an answer: prompt_id is the query, category its task, label the effect, model_name the
    LLM. A prompt with several categories is one query with the first of them. There are no costs.

    Drops rows without a label or a prompt, rows whose prompt differs from an earlier one of the same prompt_id, and all
    labels of a model on a prompt but the first.
    """
    files, builder = FileSet(data_files(make_path(path)), on_progress), InteractionsBuilder()
    for row in files.read_all(_EMBEDLLM):
        effect, model = row.float("label", 0, 1), row.id("model_name")
        if np.isnan(effect) or not row.has("prompt"):
            files.drop("rows without a label or a prompt")
            continue
        query = builder.add_query(row.id("prompt_id"), row.text("prompt"), row.text_or_empty("category"))
        if query < 0:
            files.drop("rows with another prompt than the prompt_id's first")
        else:
            builder.add_outcome(query, builder.llms[model], effect=effect)
    return builder.build_outcomes_only(files)


def read_llmrouterbench(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads LLMRouterBench (arXiv 2601.07206): scores, tokens and costs; results/bench, or some of its DATASET folders.

    The folder has files DATASET/SPLIT/MODEL/...-TIMESTAMP.json, each with an array of records. The fields dataset_name,
    split and model_name of a file say what it is of (MODEL may hold slashes), its path does where it lacks them. The
    data set is the task. In a record, index identifies the query, origin_query is its text, score the effect, cost the
    cost in USD, and prediction the answer if it is a text. Runs that say "demo": true are skipped, and only the newest
    run of each model is read, by YYYYMMDD_HHMMSS at the end of its name; a file without a time (result.json of older
    versions) is older than all with one. As the loader of github.com/ynulihao/LLMRouterBench, baselines/data_loader.py.

    Drops records whose query is no text or differs from the query of other models at the same index, scores that are
    missing or outside [0, 1], second records of an index in a file, demo runs and files of older runs. Upstream takes a
    missing score for 0.
    """
    folder = make_path(path)
    found = [folder / name for name in files_below(folder) if name.endswith(".json")]
    if not found:
        raise ValueError(f"folder {str(folder)!r}: expected DATASET/SPLIT/MODEL/TIMESTAMP.json, found none")
    runs, demos = _newest(found)
    if not runs:
        raise ValueError(f"folder {str(folder)!r}: expected a run, found {demos} demo runs")
    files, builder = FileSet(runs.values(), on_progress), InteractionsBuilder()
    files.drop("files of demo runs", demos)
    files.drop("files of older runs of a model", len(found) - demos - len(runs))
    for (dataset, split, model), file in runs.items():
        with errors_name_folder(f"{dataset}/{split}/{model}"):
            for record in files.read(file, _LLMROUTERBENCH, array="records"):
                reason = _add_llmrouterbench(record, dataset, split, model, builder)
                if reason:
                    files.drop(reason)
    return builder.build_outcomes_only(files)


def read_routerbench(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads RouterBench (arXiv 2403.12031), routerbench_0shot or _5shot as .csv or .parquet: scores, costs of 11 LLMs.

    Each row is a query of the task eval_name. For each model it has the columns `MODEL` (the score in [0, 1], which is
    the effect), `MODEL|total_cost` in USD and, in some files, `MODEL|model_response`. RouterBench is published as a
    pickle, which can run any code when it is opened: for a pickle the error gives the command that converts it. Prompts
    and responses are published as texts of Python lists, "['...']", whose elements are the text.

    Drops rows without a prompt, rows whose prompt differs from an earlier one of the same sample_id, and missing
    scores.
    """
    paths = data_files(make_path(path)) if not str(path).endswith(_PICKLES) else [make_path(path)]
    file = paths[0]
    if file.suffix in _PICKLES:
        convert = f"import pandas; pandas.read_pickle('{file.name}').to_csv('{file.stem}.csv', index=False)"
        expected = f'.csv or .parquet; where a pickle may run its code, convert it: python -c "{convert}"'
        raise ValueError(f"table {file.name}: expected {expected}")
    names = column_names(file)
    ends = [name.rpartition("|")[0] for name in names if name.endswith((_COST, _RESPONSE))]
    models = list(dict.fromkeys(ends))
    if not models:
        raise ValueError(f"table {file.name}, column MODEL{_COST}: expected this column of some models, found none")
    files, builder = FileSet(paths, on_progress), InteractionsBuilder()
    needed = (*_ROUTERBENCH, *models, *(model + _COST for model in models))
    for row in files.read_all(needed, [model + _RESPONSE for model in models]):
        _add_routerbench(row, models, files, builder)
    return builder.build_outcomes_only(files)


def _preferences(files: FileSet, verdicts: pathlib.Path) -> dict[str, float]:
    """By instruction, a number from 1 (the reference answer is preferred) to 2 (the answer of the model is)."""
    preferences: dict[str, float] = {}
    for verdict in files.read(verdicts, ["instruction", "preference"]):
        preferences.setdefault(verdict.text("instruction"), verdict.float("preference", 1, 2))
    return preferences


def _add_alpacaeval(
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


def _newest(found: list[pathlib.Path]) -> tuple[dict[tuple[str, str, str], pathlib.Path], int]:
    """The newest file of each data set, split and model, and the number of demo runs."""
    runs: dict[tuple[str, str, str], pathlib.Path] = {}
    demos = 0
    for file in sorted(found, key=_time_of):
        with errors_name_folder("/".join(file.parts[-4:-1])):
            fields = json_fields(file, (*_RUN_FIELDS, "demo"))
        place = dict(zip(_RUN_FIELDS, file.parts[-4:-1], strict=True)) if len(file.parts) > 3 else {}
        names = [fields.get(name) or place.get(name) for name in _RUN_FIELDS]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{file}: expected DATASET/SPLIT/MODEL/ before it, or fields {', '.join(_RUN_FIELDS)}")
        if fields.get("demo") is True:
            demos += 1
        else:
            dataset, split, model = map(str, names)
            runs[dataset, split, model] = file
    return {names: runs[names] for names in sorted(runs)}, demos


def _time_of(file: pathlib.Path) -> tuple[str, str]:
    """The time at the end of a name, "" without one, and the path."""
    time = _TIMESTAMP.search(file.name)
    return (time[1] if time else ""), str(file)


def _add_llmrouterbench(record: Record, dataset: str, split: str, model: str, builder: InteractionsBuilder) -> str:
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


def _add_routerbench(row: Record, models: list[str], files: FileSet, builder: InteractionsBuilder) -> None:
    if not row.has("prompt"):
        files.drop("rows without a prompt")
        return
    scores = {model: row.float(model, 0, 1) for model in models}
    query = builder.add_query(row.id("sample_id"), _unlisted(row.text("prompt")), row.id("eval_name"))
    if query < 0:
        files.drop("rows with another prompt than the sample's first")
        return
    for model, effect in scores.items():
        if np.isnan(effect):
            files.drop("missing scores")
            continue
        response, cost = _unlisted(row.text_or_empty(model + _RESPONSE)), row.float(model + _COST, 0)
        builder.add_outcome(query, builder.llms[model], response, effect=effect, cost=cost)


def _unlisted(text: str) -> str:
    """The elements of a text of a Python list of texts, one a line; any other text as it is."""
    found = parse_value(text) if text.startswith(("['", '["')) else None
    return "\n".join(found) if isinstance(found, list) and all(isinstance(part, str) for part in found) else text
