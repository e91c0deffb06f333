"""Reads PRISM (arXiv 2404.16019): 1,396 people talk to 21 LLMs and rate 2 to 4 answers to their opening prompt.

Each record of utterances.jsonl is an answer. Each interaction_id of turn 0 is a query and a decision among the LLMs
that answered; conversation_type is the task. The scores 1 to 100 become ratings from 0 to 1. The column if_chosen marks
an answer with the best score, so it adds nothing and is not read. There are no effects and no costs.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import RatedDecision, build_from_ratings
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData
from prouter_jax.io.paths import make_path

_COLUMNS = (
    *("user_id", "interaction_id", "conversation_type", "turn"),
    *("model_name", "user_prompt", "model_response", "score"),
)


def read_prism(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads utterances.jsonl.

    Drops answers after the opening turn, answers without a score or a prompt, and decisions with a single answer.

    Args:
      path: the file.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[str, RatedDecision] = {}
    for answer in files.read(file, _COLUMNS):
        rating = (answer.float("score", 1, 100) - 1) / 99
        if answer.whole("turn"):
            files.drop("answers after the opening turn")
        elif np.isnan(rating):
            files.drop("answers without a score")
        elif not answer.has("user_prompt"):
            files.drop("answers to an empty prompt")
        else:
            id_, user, text = answer.id("interaction_id"), answer.id("user_id"), answer.text("user_prompt")
            task = answer.text_or_empty("conversation_type")
            rated = decisions.setdefault(id_, RatedDecision(user, id_, text, task))
            for column, before, found in (("user_id", rated.user, user), ("user_prompt", rated.text, text)):
                if before != found:
                    raise answer.error(column, f"what the interaction began with, {before[:40]!r}", found)
            rated.add(files, answer.id("model_name"), rating, answer.text_or_empty("model_response"))
    return build_from_ratings(files, decisions.values())
