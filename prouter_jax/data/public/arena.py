"""Reads Chatbot Arena conversations and MT-Bench human judgments: votes between two answers (arXiv 2306.05685).

The file is the published Parquet file, or JSONL with the same columns. Each record is a vote: a decision of the user
`judge` between model_a, shown first, and model_b. question_id is the query; its text is the first message. The winner
is the choice; a tie, also of two bad answers, is half a choice of each. tstamp, if present, is the time. There are no
effects and no costs.
"""

import os

from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.public.file_set import FileSet, ProgressCallback, PublicData
from prouter_jax.data.public.records import Record
from prouter_jax.io.paths import make_path

_COLUMNS = ("question_id", "model_a", "model_b", "winner", "judge", "conversation_a", "conversation_b", "turn")
_SHARES = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0), "tie": (0.5, 0.5), "tie (bothbad)": (0.5, 0.5)}


def read_arena(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads one file of votes.

    Drops votes after the first turn, votes on an LLM against itself, votes on conversations with different first
    messages, and votes whose first message differs from an earlier one of the same question_id.

    Args:
      path: a .parquet or .jsonl file.
      on_progress: see `FileSet`.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    file = make_path(path)
    files, builder = FileSet([file], on_progress), InteractionsBuilder()
    for vote in files.read(file, _COLUMNS, ["tstamp"]):
        reason = _add(vote, builder)
        if reason:
            files.drop(reason)
    if not builder.llms:
        raise files.empty_error("a vote on the first turn")
    return files.result(builder.build())


def _add(vote: Record, builder: InteractionsBuilder) -> str:
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
