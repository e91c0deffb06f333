"""Reads the JSONL files of GMTRouter (github.com/ulab-uiuc/GMTRouter): ratings of answers by judges.

The rows of one question_id, turn and judge are a decision of the judge among the models of the rows. The query is the
first message of the conversation, and the ratings of the first answers are kept as they are. Later steps depend on
earlier answers and are dropped. The embeddings query_emb and model_emb are not read: this project encodes texts itself.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import RatedDecision, build_from_ratings
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData
from prouter_jax.io.paths import make_path

_COLUMNS = ("judge", "model", "question_id", "turn", "conversation")


def read_gmtrouter(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads one file, such as training_set.jsonl.

    Drops later steps, conversations whose first step is empty or has no rating, and decisions with a single answer.

    Args:
      path: a .jsonl file.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[tuple[str, str, str, str], RatedDecision] = {}
    for row in files.read(file, _COLUMNS):
        id_, judge, model, turn = (row.id(column) for column in ("question_id", "judge", "model", "turn"))
        steps = row.records("conversation")
        files.drop("later steps of conversations", len(steps) - 1 if steps else 0)
        rating = steps[0].float("rating", -1e30, 1e30) if steps else np.nan
        if np.isnan(rating) or not steps[0].has("query"):
            files.drop("conversations without a rated first step")
            continue
        text = steps[0].text("query")
        # a group with different first messages becomes several decisions
        rated = decisions.setdefault((id_, turn, judge, text), RatedDecision(judge, id_, text, ""))
        rated.add(files, model, rating, steps[0].text_or_empty("response"))
    return build_from_ratings(files, decisions.values())
