"""GMTRouter's JSONL (github.com/ulab-uiuc/GMTRouter): what judges rated, grouped by question_id, turn and judge.

Each group is a decision of the judge among the models of its rows; the query is what the conversation begins with, of
the id question_id, and the ratings of the first answers stand as they are. Later steps depend on the answers before
them and are dropped. The embeddings that come along (query_emb, model_emb) are not read: texts are encoded here.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import Rated, read_rated
from prouter_jax.data.public.records import FileSet, OnProgress, Read
from prouter_jax.io.paths import make_path

_COLUMNS = ("judge", "model", "question_id", "turn", "conversation")


def read_gmtrouter(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads one file, such as training_set.jsonl.

    Dropped are later steps, conversations whose first step is empty or without a rating, and answers that stand alone.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[tuple[str, str, str, str], Rated] = {}
    for row in files.read(file, _COLUMNS):
        id_, judge, model, turn = (row.id(column) for column in ("question_id", "judge", "model", "turn"))
        steps = row.records("conversation")
        files.drop("later steps of conversations", len(steps) - 1 if steps else 0)
        rating = steps[0].float("rating", -1e30, 1e30) if steps else np.nan
        if np.isnan(rating) or not steps[0].has("query"):
            files.drop("conversations without a rated first step")
            continue
        text = steps[0].text("query")
        # answers to other words than the group's are a decision of their own
        rated = decisions.setdefault((id_, turn, judge, text), Rated(judge, id_, text, ""))
        rated.add(files, model, rating, steps[0].text_or_none("response"))
    return read_rated(files, decisions.values())
