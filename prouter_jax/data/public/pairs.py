"""Reads pairs of answers of which one is better: Chatbot Arena's votes, and sets of (chosen, rejected).

They have neither effects (how good an answer is, 0 to 1) nor costs.

| set | user | query, its text | winner |
|---|---|---|---|
| Arena 33k, MT-Bench | judge | question_id, first message | model_a, model_b, tie, tie (bothbad) |
| Arena 100k | judge_hash | question_id, first message | the same |
| Arena 140k | evaluation_session_id | id, first message | model_a, model_b, tie, both_bad |
| Arena 55k (Kaggle) | "everybody" | id, first of prompt | winner_model_a, winner_model_b, winner_tie |

Dataset cards on Hugging Face: lmsys/chatbot_arena_conversations, lmsys/mt_bench_human_judgments,
lmarena-ai/arena-human-preference-100k, -140k and -55k. In the 55k set, prompt and responses are JSON lists, and a
missing text is null. In the 140k set the content of a message is a list of parts, and later votes of a session are on
what other LLMs began.
"""

import os

from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.literals import parse_value
from prouter_jax.data.public.builder import InteractionsBuilder, RowIndex
from prouter_jax.data.public.records import FileSet, ProgressCallback, PublicData, Record
from prouter_jax.data.tables.file_forms import data_files
from prouter_jax.io.paths import make_path

EVERYBODY = "everybody"
"""The user of a set that does not say who chose."""
_SIDES = ("a", "b")
_SHARES = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0)} | dict.fromkeys(
    ("tie", "tie (bothbad)", "both_bad", "bothbad"), (0.5, 0.5)
)
_USERS = ("judge", "judge_hash", "evaluation_session_id")
_VOTES = ("turn", "evaluation_order", "conversation_a", "conversation_b", "winner", "question_id", "id", "tstamp")
_KAGGLE = ("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie")
_CHOSEN = (("chosen_model", "chosen-model", "model_chosen"), ("rejected_model", "rejected-model", "model_rejected"))
_RATERS = ("user_id", "annotator", "annotator_id", "judge", "user")


def read_arena(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads Chatbot Arena's and MT-Bench's human votes between two answers (arXiv 2306.05685, 2403.04132).

    The path is a published file or a folder of Parquet shards; the forms are in the table above. Each record is a vote:
    a decision between model_a, shown first, and model_b. The winner is the choice; a tie, also of two bad answers, is
    half a choice of each. tstamp, if present, is the time.

    Drops votes after the first turn, votes on an LLM against itself, votes on conversations with different first
    messages or none, and votes whose first message differs from an earlier one of the same question.
    """
    files, builder = FileSet(data_files(make_path(path)), on_progress), InteractionsBuilder()
    user = None
    for vote in files.read_all(("model_a", "model_b"), (*_USERS, *_VOTES, *_KAGGLE)):
        user = _user_column(vote, _USERS, user)
        reason = _add_vote(vote, user, builder)
        if reason:
            files.drop(reason)
    if not builder.llms:
        raise files.empty_error("a vote on the first turn")
    return files.result(builder.build())


def read_chosen_rejected(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads preference sets with the columns chosen and rejected, texts or lists of messages, as DPO uses them.

    The names of both LLMs are in chosen_model and rejected_model (or chosen-model, rejected-model): without them a
    record says nothing of an LLM. The query (q0, q1, ... by its first appearance) is prompt, or else question,
    instruction, or the first message of chosen.
    The user is user_id, annotator or judge, else "everybody". The better answer stands first in every record of such a
    set, so that no side is recorded.

    Drops records without a prompt or with one LLM on both sides.
    """
    files, builder = FileSet(data_files(make_path(path)), on_progress), InteractionsBuilder()
    names, user, ids = ("prompt", "question", "instruction", *_CHOSEN[0], *_CHOSEN[1], *_RATERS), None, RowIndex()
    for pair in files.read_all(("chosen", "rejected"), names):
        user = _user_column(pair, _RATERS, user)
        reason = _add_pair(pair, user, ids, builder)
        if reason:
            files.drop(reason)
    if not builder.llms:
        raise files.empty_error("a pair of answers of two LLMs")
    return files.result(builder.build())


def opening(record: Record, column: str) -> tuple[str, str]:
    """The first message of the user and the answer to it in a list of messages, "" for a missing one."""
    messages = record.records(column)
    roles = [message.text_or_empty("role") for message in messages]
    start = roles.index("system") + 1 if roles[:1] == ["system"] else 0
    texts = [message_text(message) for message in messages[start : start + 2]]
    roles = roles[start : start + 2]
    return (texts[0] if roles[:1] == ["user"] else ""), (texts[1] if roles[1:] == ["assistant"] else "")


def message_text(message: Record) -> str:
    """The text of a message, whose content is a text or a list of parts with a text each."""
    content = message.cells.get("content")
    if not isinstance(content, list):
        return message.text_or_empty("content")
    return "".join(part.text_or_empty("text") for part in message.records("content"))


def _add_vote(vote: Record, user: str, builder: InteractionsBuilder) -> str:
    """Adds a vote; returns the reason if it is dropped, else ""."""
    models = [vote.id("model_a"), vote.id("model_b")]
    shares = _shares(vote)
    if _is_later(vote):
        return "votes after the first turn"
    if models[0] == models[1]:
        return "votes on an LLM against itself"
    (text, answer_a), (text_b, answer_b) = (_opening(vote, side) for side in _SIDES)
    if not text or text != text_b:
        return "votes on conversations that begin with different messages, or none"
    question = "question_id" if vote.has("question_id") else "id"
    query = builder.add_query(vote.id(question), text)
    if query < 0:
        return "votes on another text than the question's first"
    pair = [builder.llms[model] for model in models]
    for llm, answer in zip(pair, (answer_a, answer_b), strict=True):
        builder.add_outcome(query, llm, answer)
    chosen = {llm: share for llm, share in zip(pair, shares, strict=True) if share}
    builder.add_decision(_user(vote, user), query, pair, CHOICE, chosen, pair[0], vote.float("tstamp"))
    return ""


def _shares(vote: Record) -> tuple[float, float]:
    if vote.has("winner_model_a"):
        found = [vote.flag(column) for column in _KAGGLE[3:]]
        if sum(found) != 1:
            raise vote.error("winner_model_a", "one of the three winners to be 1", found)
        return ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))[found.index(True)]
    shares = _SHARES.get(vote.text("winner"))
    if shares is None:
        raise vote.error("winner", f"one of {', '.join(_SHARES)}", vote.text("winner"))
    return shares


def _is_later(vote: Record) -> bool:
    """Whether a vote is on a conversation of several turns, or on a later part of one."""
    if vote.has("turn"):
        return vote.whole("turn") != 1
    if vote.has("evaluation_order") and vote.whole("evaluation_order") != 1:
        return True
    if vote.has("prompt"):
        return len(_texts(vote, "prompt")) != 1
    users = [message for message in vote.records("conversation_a") if message.text_or_empty("role") == "user"]
    return len(users) > 1


def _opening(vote: Record, side: str) -> tuple[str, str]:
    """The first message and the answer of one side."""
    if not vote.has("prompt"):
        return opening(vote, f"conversation_{side}")
    answers = _texts(vote, f"response_{side}")
    return _texts(vote, "prompt")[0], answers[0] if answers else ""


def _texts(vote: Record, column: str) -> list[str]:
    """The texts of a JSON list, "" for null; halves of UTF-16 pairs, which the set has, are replaced."""
    found = parse_value(vote.text(column))
    if not isinstance(found, list) or not all(text is None or isinstance(text, str) for text in found):
        raise vote.error(column, "a JSON list of texts", vote.cells[column])
    return [(text or "").encode("utf-8", "replace").decode() for text in found]


def _user_column(record: Record, columns: tuple[str, ...], before: str | None) -> str:
    """The column of users, "" for none: that of the records before, which all have it, or none has.

    Raises:
      ValueError: if only the records before have none.
    """
    if before:
        return before
    found = next((column for column in columns if record.has(column)), "")
    if found and before is not None:
        raise record.error(found, "a user in all records or in none, as before", record.cells[found])
    return found


def _user(record: Record, column: str) -> str:
    return record.id(column) if column else EVERYBODY


def _add_pair(pair: Record, user: str, ids: RowIndex, builder: InteractionsBuilder) -> str:
    """Adds a pair of answers; returns the reason if it is dropped, else ""."""
    columns = [next((name for name in names if pair.has(name)), "") for names in _CHOSEN]
    if not all(columns):
        raise pair.error("chosen_model", "the names of both LLMs, chosen_model and rejected_model", None)
    models = [pair.id(column) for column in columns]
    if models[0] == models[1]:
        return "pairs of answers of one LLM"
    answers, prompts = zip(*(_answer(pair, column) for column in ("chosen", "rejected")), strict=True)
    prompt = next((_prompt(pair, name) for name in ("prompt", "question", "instruction") if pair.has(name)), prompts[0])
    if not prompt:
        return "pairs without a prompt"
    query, llms = builder.add_query(f"q{ids[prompt]}", prompt), [builder.llms[model] for model in models]
    for llm, answer in zip(llms, answers, strict=True):
        builder.add_outcome(query, llm, answer)
    builder.add_decision(_user(pair, user), query, llms, CHOICE, {llms[0]: 1.0})
    return ""


def _prompt(pair: Record, column: str) -> str:
    return pair.text_or_empty(column) if isinstance(pair.cells[column], str) else opening(pair, column)[0]


def _answer(pair: Record, column: str) -> tuple[str, str]:
    """The answer in a column, and the prompt before it, "" if the column is a text."""
    if isinstance(pair.cells.get(column), list):
        prompt, answer = opening(pair, column)
        return answer, prompt
    return pair.text_or_empty(column), ""
