"""EmbedLLM (arXiv 2410.02223): whether 112 LLMs answered benchmark questions right. Nobody chose, nothing has a cost.

A row of the CSV is an answer: prompt_id is the query, category its task, label the effect, model_name the LLM. A prompt
that is listed under several categories is one query, of the first. config.data.users can simulate users.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import Collected
from prouter_jax.data.public.records import FileSet, OnProgress, Read
from prouter_jax.io.paths import make_path

_COLUMNS = ("prompt_id", "label", "model_name", "category", "prompt")


def read_embedllm(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads train.csv, val.csv or test.csv.

    Dropped are rows without a label or a prompt, with another one than their prompt_id had before, and all labels of a
    model on a prompt but the first.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files, collected = FileSet([file], on_progress), Collected()
    for row in files.read(file, _COLUMNS):
        effect, model = row.float("label", 0, 1), row.id("model_name")
        if np.isnan(effect) or not row.has("prompt"):
            files.drop("rows without a label or a prompt")
            continue
        query = collected.query(row.id("prompt_id"), row.text("prompt"), row.text_or_none("category"))
        if query < 0:
            files.drop("rows with another prompt than the prompt_id's first")
        else:
            collected.outcome(query, collected.llms[model], effect=effect)
    return collected.outcomes_alone(files)
