"""RouterBench (arXiv 2403.12031): how well 11 LLMs did on benchmark prompts, and what that cost. Nobody chose.

A row is a query of the task eval_name; for each model there are its score in 0 to 1, the effect, `MODEL|total_cost` in
USD and, in some files, `MODEL|model_response`. It is published as a pickle, which may run anything when it is opened:
it is not opened here, but read as CSV or Parquet once it was converted elsewhere. config.data.users can simulate users.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import Collected
from prouter_jax.data.public.records import FileSet, OnProgress, Read, Record, header
from prouter_jax.io.paths import make_path

_COLUMNS = ("sample_id", "prompt", "eval_name")
_COST, _RESPONSE = "|total_cost", "|model_response"
_PICKLES = (".pkl", ".pickle")


def read_routerbench(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads routerbench_0shot or _5shot as .csv or .parquet.

    Dropped are rows without a prompt, with another one than their sample_id had before, and missing scores.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found; of a pickle, the
        command that converts it.
    """
    file = make_path(path)
    if file.suffix in _PICKLES:
        convert = f"import pandas; pandas.read_pickle('{file.name}').to_csv('{file.stem}.csv', index=False)"
        expected = f'.csv or .parquet; where a pickle may run its code, convert it: python -c "{convert}"'
        raise ValueError(f"table {file.name}: expected {expected}")
    names = header(file)
    ends = [name.rpartition("|")[0] for name in names if name.endswith((_COST, _RESPONSE))]
    models = list(dict.fromkeys(ends))
    if not models:
        raise ValueError(f"table {file.name}, column MODEL{_COST}: expected this column of some models, found none")
    files, collected = FileSet([file], on_progress), Collected()
    needed = (*_COLUMNS, *models, *(model + _COST for model in models))
    for row in files.read(file, needed, [model + _RESPONSE for model in models]):
        _add(row, models, files, collected)
    return collected.outcomes_alone(files)


def _add(row: Record, models: list[str], files: FileSet, collected: Collected) -> None:
    if not row.has("prompt"):
        files.drop("rows without a prompt")
        return
    scores = {model: row.float(model, 0, 1) for model in models}
    query = collected.query(row.id("sample_id"), row.text("prompt"), row.id("eval_name"))
    if query < 0:
        files.drop("rows with another prompt than the sample's first")
        return
    for model, effect in scores.items():
        if np.isnan(effect):
            files.drop("missing scores")
            continue
        response, cost = row.text_or_none(model + _RESPONSE), row.float(model + _COST, 0)
        collected.outcome(query, collected.llms[model], response, effect=effect, cost=cost)
