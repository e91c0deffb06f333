"""Reads RouterBench (arXiv 2403.12031): scores and costs of 11 LLMs on benchmark prompts.

Each row is a query of the task eval_name. For each model it has the columns `MODEL` (the score in [0, 1], which is the
effect), `MODEL|total_cost` in USD and, in some files, `MODEL|model_response`. RouterBench is published as a pickle,
which can run any code when it is opened. This reader refuses pickles and reads a CSV or Parquet conversion instead.
There are no users; config.data.users can simulate users.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData
from prouter_jax.data.public.records import Record, column_names
from prouter_jax.io.paths import make_path

_COLUMNS = ("sample_id", "prompt", "eval_name")
_COST, _RESPONSE = "|total_cost", "|model_response"
_PICKLES = (".pkl", ".pickle")


def read_routerbench(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads routerbench_0shot or routerbench_5shot as .csv or .parquet.

    Drops rows without a prompt, rows whose prompt differs from an earlier one of the same sample_id, and missing
    scores.

    Args:
      path: the file.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found. For a pickle it gives
        the command that converts it.
    """
    file = make_path(path)
    if file.suffix in _PICKLES:
        convert = f"import pandas; pandas.read_pickle('{file.name}').to_csv('{file.stem}.csv', index=False)"
        expected = f'.csv or .parquet; where a pickle may run its code, convert it: python -c "{convert}"'
        raise ValueError(f"table {file.name}: expected {expected}")
    names = column_names(file)
    ends = [name.rpartition("|")[0] for name in names if name.endswith((_COST, _RESPONSE))]
    models = list(dict.fromkeys(ends))
    if not models:
        raise ValueError(f"table {file.name}, column MODEL{_COST}: expected this column of some models, found none")
    files, builder = FileSet([file], on_progress), InteractionsBuilder()
    needed = (*_COLUMNS, *models, *(model + _COST for model in models))
    for row in files.read(file, needed, [model + _RESPONSE for model in models]):
        _add(row, models, files, builder)
    return builder.build_outcomes_only(files)


def _add(row: Record, models: list[str], files: FileSet, builder: InteractionsBuilder) -> None:
    if not row.has("prompt"):
        files.drop("rows without a prompt")
        return
    scores = {model: row.float(model, 0, 1) for model in models}
    query = builder.add_query(row.id("sample_id"), row.text("prompt"), row.id("eval_name"))
    if query < 0:
        files.drop("rows with another prompt than the sample's first")
        return
    for model, effect in scores.items():
        if np.isnan(effect):
            files.drop("missing scores")
            continue
        response, cost = row.text_or_empty(model + _RESPONSE), row.float(model + _COST, 0)
        builder.add_outcome(query, builder.llms[model], response, effect=effect, cost=cost)
