"""Reads EmbedLLM (arXiv 2410.02223): whether 112 LLMs answer benchmark questions correctly.

Each row of the CSV file is an answer: prompt_id is the query, category its task, label the effect, model_name the LLM.
A prompt with several categories is one query with the first of them. There are no users and no costs; config.data.users
can simulate users.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData
from prouter_jax.io.paths import make_path

_COLUMNS = ("prompt_id", "label", "model_name", "category", "prompt")


def read_embedllm(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads train.csv, val.csv or test.csv.

    Drops rows without a label or a prompt, rows whose prompt differs from an earlier one of the same prompt_id, and all
    labels of a model on a prompt but the first.

    Args:
      path: the file.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files, builder = FileSet([file], on_progress), InteractionsBuilder()
    for row in files.read(file, _COLUMNS):
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
