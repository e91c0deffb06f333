"""Reads PRISM and GMTRouter: ratings of people and judges.

They have neither effects (how good an answer is, 0 to 1) nor costs.

Each reader takes the file as published and `on_progress` (see `FileSet`), and raises a ValueError of one line that
names file, column and row, what was expected and what was found.
"""

import os

import numpy as np

from prouter_jax.data.public.builder import RatedDecision, build_from_ratings
from prouter_jax.data.public.records import FileSet, ProgressCallback, PublicData, Record
from prouter_jax.data.tables.file_forms import data_files
from prouter_jax.io.paths import make_path

_EMPTY = "EMPTY STRING"  # of PRISM
_PRISM = (
    *("user_id", "interaction_id", "conversation_type", "turn"),
    *("model_name", "user_prompt", "model_response", "score"),
)

_GMTROUTER = ("judge", "model", "question_id", "turn", "conversation")


def read_prism(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads PRISM (arXiv 2404.16019), utterances.jsonl: 1,396 people rate 2 to 4 answers to their opening prompt.

    Its codebook (prism_codebook.pdf, github.com/HannahKirk/prism-alignment) says: "An empty string is stored as `EMPTY
    STRING'". That is no text here, in prompts and in answers.

    Each record is an answer. Each interaction_id of turn 0 is a query and a decision among the LLMs that answered;
    conversation_type is the task. The scores 1 to 100 become ratings from 0 to 1. The column if_chosen marks an answer
    with the best score, so it adds nothing and is not read.

    Drops answers after the opening turn, answers without a score or a prompt, and decisions with a single answer.
    """
    files = FileSet(data_files(make_path(path)), on_progress)
    decisions: dict[str, RatedDecision] = {}
    for answer in files.read_all(_PRISM):
        rating = (answer.float("score", 1, 100) - 1) / 99
        if answer.whole("turn"):
            files.drop("answers after the opening turn")
        elif np.isnan(rating):
            files.drop("answers without a score")
        elif not _prism_text(answer, "user_prompt"):
            files.drop("answers to an empty prompt")
        else:
            id_, user, text = answer.id("interaction_id"), answer.id("user_id"), answer.text("user_prompt")
            task = answer.text_or_empty("conversation_type")
            rated = decisions.setdefault(id_, RatedDecision(user, id_, text, task))
            for column, before, found in (("user_id", rated.user, user), ("user_prompt", rated.text, text)):
                if before != found:
                    raise answer.error(column, f"what the interaction began with, {before[:40]!r}", found)
            rated.add(files, answer.id("model_name"), rating, _prism_text(answer, "model_response"))
    return build_from_ratings(files, decisions.values())


def read_gmtrouter(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads a JSONL file of GMTRouter (github.com/ulab-uiuc/GMTRouter), such as training_set.jsonl: ratings by judges.

    The rows of one question_id, turn and judge are a decision of the judge among the models of the rows. The query is
    the first message of the conversation, and the ratings of the first answers are kept as they are. Later steps depend
    on earlier answers. The embeddings query_emb and model_emb are not read: this project encodes texts itself.

    Drops later steps, conversations whose first step is empty or has no rating, and decisions with a single answer.
    """
    files = FileSet(data_files(make_path(path)), on_progress)
    decisions: dict[tuple[str, str, str, str], RatedDecision] = {}
    for row in files.read_all(_GMTROUTER):
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


def _prism_text(answer: Record, column: str) -> str:
    text = answer.text_or_empty(column)
    return "" if text == _EMPTY else text
