"""Reads Chatbot Arena, PRISM and GMTRouter: votes and ratings of people and judges.

They have neither effects (how good an answer is, 0 to 1) nor costs.

Each reader takes the file as published and `on_progress` (see `FileSet`), and raises a ValueError of one line that
names file, column and row, what was expected and what was found.
"""

import os

import numpy as np

from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.public.builder import InteractionsBuilder, RatedDecision, build_from_ratings
from prouter_jax.data.public.records import FileSet, ProgressCallback, PublicData, Record
from prouter_jax.io.paths import make_path

_ARENA = ("question_id", "model_a", "model_b", "winner", "judge", "conversation_a", "conversation_b", "turn")
_SHARES = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0), "tie": (0.5, 0.5), "tie (bothbad)": (0.5, 0.5)}

_PRISM = (
    *("user_id", "interaction_id", "conversation_type", "turn"),
    *("model_name", "user_prompt", "model_response", "score"),
)

_GMTROUTER = ("judge", "model", "question_id", "turn", "conversation")


def read_arena(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads Chatbot Arena conversations and MT-Bench human judgments: votes between two answers (arXiv 2306.05685).

    The file is the published Parquet file, or JSONL with the same columns. Each record is a vote: a decision of the
    user `judge` between model_a, shown first, and model_b. question_id is the query; its text is the first message. The
    winner is the choice; a tie, also of two bad answers, is half a choice of each. tstamp, if present, is the time.

    Drops votes after the first turn, votes on an LLM against itself, votes on conversations with different first
    messages, and votes whose first message differs from an earlier one of the same question_id.
    """
    file = make_path(path)
    files, builder = FileSet([file], on_progress), InteractionsBuilder()
    for vote in files.read(file, _ARENA, ["tstamp"]):
        reason = _add_vote(vote, builder)
        if reason:
            files.drop(reason)
    if not builder.llms:
        raise files.empty_error("a vote on the first turn")
    return files.result(builder.build())


def read_prism(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads PRISM (arXiv 2404.16019), utterances.jsonl: 1,396 people rate 2 to 4 answers to their opening prompt.

    Each record is an answer. Each interaction_id of turn 0 is a query and a decision among the LLMs that answered;
    conversation_type is the task. The scores 1 to 100 become ratings from 0 to 1. The column if_chosen marks an answer
    with the best score, so it adds nothing and is not read.

    Drops answers after the opening turn, answers without a score or a prompt, and decisions with a single answer.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[str, RatedDecision] = {}
    for answer in files.read(file, _PRISM):
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


def read_gmtrouter(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads a JSONL file of GMTRouter (github.com/ulab-uiuc/GMTRouter), such as training_set.jsonl: ratings by judges.

    The rows of one question_id, turn and judge are a decision of the judge among the models of the rows. The query is
    the first message of the conversation, and the ratings of the first answers are kept as they are. Later steps depend
    on earlier answers. The embeddings query_emb and model_emb are not read: this project encodes texts itself.

    Drops later steps, conversations whose first step is empty or has no rating, and decisions with a single answer.
    """
    file = make_path(path)
    files = FileSet([file], on_progress)
    decisions: dict[tuple[str, str, str, str], RatedDecision] = {}
    for row in files.read(file, _GMTROUTER):
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


def _add_vote(vote: Record, builder: InteractionsBuilder) -> str:
    """Adds a vote; returns the reason if it is dropped, else ""."""
    models = [vote.id("model_a"), vote.id("model_b")]
    shares = _SHARES.get(vote.text("winner"))
    if shares is None:
        raise vote.error("winner", f"one of {', '.join(_SHARES)}", vote.text("winner"))
    if vote.whole("turn") != 1:
        return "votes after the first turn"
    if models[0] == models[1]:
        return "votes on an LLM against itself"
    (text, answer_a), (text_b, answer_b) = (_opening(vote, column) for column in ("conversation_a", "conversation_b"))
    if not text or text != text_b:
        return "votes on conversations that begin with different messages, or none"
    judge, query = vote.id("judge"), builder.add_query(vote.id("question_id"), text)
    if query < 0:
        return "votes on another text than the question's first"
    pair = [builder.llms[model] for model in models]
    for llm, answer in zip(pair, (answer_a, answer_b), strict=True):
        builder.add_outcome(query, llm, answer)
    chosen = {llm: share for llm, share in zip(pair, shares, strict=True) if share}
    builder.add_decision(judge, query, pair, CHOICE, chosen, pair[0], vote.float("tstamp"))
    return ""


def _opening(vote: Record, column: str) -> tuple[str, str]:
    """The first message of the user and the answer to it, "" for a missing one."""
    messages = vote.records(column)
    roles = [message.text("role") for message in messages[:2]]
    texts = [message.text_or_empty("content") for message in messages[:2]]
    return (texts[0] if roles[:1] == ["user"] else ""), (texts[1] if roles[1:] == ["assistant"] else "")
