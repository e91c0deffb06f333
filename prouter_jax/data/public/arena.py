"""Chatbot Arena conversations and MT-Bench human judgments: votes between two answers (arXiv 2306.05685).

The file is the Parquet that is published (JSONL of the same columns will do), a record a vote. The judge is the user,
question_id the query, its text the first message. A vote is a decision between model_a, shown first, and model_b: the
winner has the choice, a tie, also between bad answers, halves it. No effect, no cost; tstamp, if there, is the time.
"""

import os

from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.public.builder import Collected
from prouter_jax.data.public.records import FileSet, OnProgress, Read, Record
from prouter_jax.io.paths import make_path

_COLUMNS = ("question_id", "model_a", "model_b", "winner", "judge", "conversation_a", "conversation_b", "turn")
_SHARES = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0), "tie": (0.5, 0.5), "tie (bothbad)": (0.5, 0.5)}


def read_arena(path: str | os.PathLike, on_progress: OnProgress | None = None) -> Read:
    """Reads one file of votes.

    Dropped are votes after the first turn, on one LLM against itself, on conversations that do not begin with the same
    message, and those whose text is not the one its question_id had before.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files, collected = FileSet([file], on_progress), Collected()
    for vote in files.read(file, _COLUMNS, ["tstamp"]):
        reason = _add(vote, collected)
        if reason:
            files.drop(reason)
    if not collected.llms:
        raise files.nothing_left("a vote on the first turn")
    return files.result(collected.build())


def _add(vote: Record, collected: Collected) -> str:
    """Takes a vote in, or tells what it is that is dropped."""
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
    judge, query = vote.id("judge"), collected.query(vote.id("question_id"), text)
    if query < 0:
        return "votes on another text than the question's first"
    pair = [collected.llms[model] for model in models]
    for llm, answer in zip(pair, (answer_a, answer_b), strict=True):
        collected.outcome(query, llm, answer)
    chosen = {llm: share for llm, share in zip(pair, shares, strict=True) if share}
    collected.decide(judge, query, pair, CHOICE, chosen, pair[0], vote.float("tstamp"))
    return ""


def _opening(vote: Record, column: str) -> tuple[str, str]:
    """The first message and the answer to it, "" where there is none."""
    messages = vote.records(column)
    roles = [message.text("role") for message in messages[:2]]
    texts = [message.text_or_none("content") for message in messages[:2]]
    return (texts[0] if roles[:1] == ["user"] else ""), (texts[1] if roles[1:] == ["assistant"] else "")
