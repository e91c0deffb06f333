"""PRISM (arXiv 2404.16019): 1,396 people talk to 21 LLMs and rate 2 to 4 answers to their opening prompt.

The file is utterances.jsonl, a record an answer. Each interaction_id of turn 0 is a query of its own, of the task
conversation_type, and a decision among the LLMs that answered; the scores 1 to 100 are ratings from 0 to 1. The answer
that was chosen (if_chosen) is a best rated one: it adds nothing and is not read. There is no effect and no cost.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import Rated, read_rated
from prouter_jax.data.public.records import FileSet, OnProgress, Read
from prouter_jax.io.paths import make_path

_COLUMNS = (
    *("user_id", "interaction_id", "conversation_type", "turn"),
    *("model_name", "user_prompt", "model_response", "score"),
)


def read_prism(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads utterances.jsonl.

    Dropped are answers after the opening turn, those without a score or a prompt, and those that stand alone.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[str, Rated] = {}
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
            task = answer.text_or_none("conversation_type")
            rated = decisions.setdefault(id_, Rated(user, id_, text, task))
            for column, before, found in (("user_id", rated.user, user), ("user_prompt", rated.text, text)):
                if before != found:
                    raise answer.error(column, f"what the interaction began with, {before[:40]!r}", found)
            rated.add(files, answer.id("model_name"), rating, answer.text_or_none("model_response"))
    return read_rated(files, decisions.values())
