"""Writes the state of a service as tables: feedback for `prouter update` and `prouter train`, decisions as a log.

FOLDER/choices.jsonl, votes.jsonl, ratings.jsonl, thumbs.jsonl    all feedback that the workdir does not have yet
FOLDER/queries.jsonl, llms.jsonl                                  with those: tables for training
FOLDER/log/                                                       all decisions, with propensities, for off_policy
"""

import collections
import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from prouter_jax.data.interactions import Interactions, Queries
from prouter_jax.data.logs.queries import query_ids
from prouter_jax.data.logs.tables import TableWriter
from prouter_jax.data.tables.read_write import nullable_numbers
from prouter_jax.io import files
from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service.store import StoredDecision, StoredFeedback, StoredServed

LOG = "log"
_TABLES = {"choice": "choices", "vote": "votes", "rating": "ratings", "thumb": "thumbs"}


@dataclasses.dataclass
class Exported:
    """Numbers of what was written.

    Attributes:
      feedback: rows of each table of feedback.
      decisions, rewarded: decisions of the log, and those of them with a reward.
      without_text: decisions and feedback that were left out, because their texts are not stored.
    """

    feedback: dict[str, int] = dataclasses.field(default_factory=dict)
    decisions: int = 0
    rewarded: int = 0
    without_text: int = 0

    def summary(self) -> str:
        """What was written, in lines."""
        tables = ", ".join(f"{number:,} {table}" for table, number in self.feedback.items())
        lines = [
            f"new feedback: {tables or 'none'}",
            f"log: {self.decisions:,} decisions, {self.rewarded:,} with a reward",
        ]
        if self.without_text:
            lines.append(
                f"left out, because --store_prompts was off: {self.without_text:,} rows whose text is not known"
            )
        return "\n".join(lines)


class Texts:
    """The text and the id of each query: of the router's by its own id, of others by a hash.

    Args:
      queries: of the router.
    """

    def __init__(self, queries: Queries):
        self._known = dict(zip(queries.ids.tolist(), queries.texts.tolist(), strict=True))
        self._ids = {text: id_ for id_, text in reversed(self._known.items())}
        self.used: dict[str, dict[str, str]] = {}
        """Rows of the table queries, by id."""

    def find(self, query: str | None, query_id: str | None, task_id: str | None) -> str | None:
        """The id of a query, None if its text is not known."""
        text = self._known.get(query_id or "") if query is None else query
        if text is None:
            return None
        id_ = query_id or self._ids.get(text) or _hashed(task_id, text)
        self.used[id_] = {"query_id": id_, "query": text} | ({"task_id": task_id} if task_id else {})
        return id_


def export(
    decisions: Iterable[StoredDecision],
    feedback: Iterable[StoredFeedback],
    served: Iterable[StoredServed],
    counted: set[tuple[str, float]],
    data: Interactions,
    folder: pathlib.Path,
) -> Exported:
    """Writes the tables.

    Args:
      decisions, feedback, served: of the state.
      counted: user and time of feedback that the workdir has, which is left out of the tables of feedback.
      data: of the router, for its LLMs and the texts of its queries.
      folder: is made if it is missing.

    Raises:
      ValueError: if the folder has something in it.
      OSError: if a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty folder or none, found files in it")
    (folder / LOG).mkdir(parents=True, exist_ok=True)
    exported, texts = Exported(), Texts(data.queries)
    rows, verdicts = _feedback_rows(feedback, counted, texts, exported)
    for table, lines in rows.items():
        exported.feedback[table] = len(lines)
        _write_lines(folder / f"{table}.jsonl", lines)
    if rows:
        _write_lines(folder / "queries.jsonl", texts.used.values())
        _write_lines(folder / "llms.jsonl", [{"llm": llm} for llm in data.llms.ids])
    answers = {row.decision_id: row for row in served}
    decisions = [_as_served(one, answers) for one in decisions]
    _write_log(folder / LOG, decisions, answers, verdicts, Texts(data.queries), exported)
    return exported


def _feedback_rows(
    feedback: Iterable[StoredFeedback], counted: set[tuple[str, float]], texts: Texts, exported: Exported
) -> tuple[dict[str, list[dict]], dict[str, list[LiveFeedback]]]:
    """The rows of each table of feedback, and what was said of each decision."""
    rows, verdicts = collections.defaultdict(list), collections.defaultdict(list)
    for row in feedback:
        said = LiveFeedback.from_row(row.content)
        if row.decision_id is not None:
            verdicts[row.decision_id].append(said)
        query_id = texts.find(said.query, said.query_id, said.task_id)
        if (row.user_id, row.time) in counted:
            continue
        if query_id is None:
            exported.without_text += 1
        else:
            about = {"user_id": row.user_id, **texts.used[query_id], "time": row.time}
            rows[_TABLES[said.kind]] += [about | columns for columns in _columns(said)]
    return rows, verdicts


def _columns(said: LiveFeedback) -> list[dict[str, Any]]:
    """The columns of feedback in its table."""
    if said.kind == "vote":
        assert said.candidates is not None  # `LiveFeedback.check` asks for the two
        pair = said.candidates if said.first in (None, said.candidates[0]) else said.candidates[::-1]
        winner = {pair[0]: "a", pair[1]: "b"}.get(said.llm, "tie")
        return [{"llm_a": pair[0], "llm_b": pair[1], "winner": winner}]
    given = {"llm": said.llm} | ({"first": said.first} if said.first else {})
    given |= {"candidates": list(said.candidates)} if said.candidates else {}
    return [given | ({said.kind: said.value} if said.value is not None else {})]


def _write_lines(path: pathlib.Path, rows: Iterable[dict]) -> None:
    files.write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write_log(
    folder: pathlib.Path,
    decisions: Iterable[StoredDecision],
    answers: dict[str, StoredServed],
    verdicts: dict[str, list[LiveFeedback]],
    texts: Texts,
    exported: Exported,
) -> None:
    """The tables that `prouter logs` would write of these decisions."""
    rows = [(decision, texts.find(decision.query, decision.query_id, decision.task_id)) for decision in decisions]
    kept = [(decision, query_id) for decision, query_id in rows if query_id is not None]
    exported.without_text += len(rows) - len(kept)
    if not kept:
        return
    rewards = [_reward(verdicts.get(one.decision_id, ()), one) for one, _ in kept]
    exported.decisions, exported.rewarded = len(kept), sum(reward is not None for reward in rewards)
    with TableWriter(folder) as writer:
        for name, columns in _log_tables(kept, rewards, answers, texts).items():
            writer.write(name, columns)


def _log_tables(
    kept: list[tuple[StoredDecision, str]], rewards: list[float | None], answers: dict[str, StoredServed], texts: Texts
) -> dict[str, dict[str, Any]]:
    """The columns of each table of the log."""
    decisions = [decision for decision, _ in kept]
    ids, llms = [one.decision_id for one in decisions], [one.llm for one in decisions]
    judged = [place for place, reward in enumerate(rewards) if reward is not None]
    queries = list(texts.used.values())
    return {
        "decisions": {
            "decision_id": ids,
            "user_id": [one.user_id for one in decisions],
            "query_id": [query_id for _, query_id in kept],
            "candidates": [list(one.candidates) for one in decisions],
            "time": [one.time for one in decisions],
        },
        "logged": {
            "decision_id": ids,
            "llm": llms,
            "propensity": nullable_numbers(np.array([one.propensity for one in decisions])),
            "reward": pa.array(rewards, pa.float64()),
            "latency": pa.array([answers[id_].latency if id_ in answers else None for id_ in ids], pa.float64()),
        },
        "feedback": {
            "decision_id": [ids[place] for place in judged],
            "kind": ["thumb"] * len(judged),
            "llm": [llms[place] for place in judged],
            "value": pa.array([rewards[place] for place in judged], pa.float64()),
        },
        "outcomes": _outcomes([(query, answers[one.decision_id]) for one, query in kept if one.decision_id in answers]),
        "queries": {
            "query_id": [row["query_id"] for row in queries],
            "query": [row["query"] for row in queries],
            "task_id": pa.array([row.get("task_id") for row in queries], pa.string()),
        },
        "llms": {"llm": sorted({llm for one in decisions for llm in one.candidates})},
    }


def _as_served(decision: StoredDecision, answers: dict[str, StoredServed]) -> StoredDecision:
    """The decision with the model that answered, whose propensity is not known if it was a fallback."""
    answer = answers.get(decision.decision_id)
    if answer is None or answer.llm == decision.llm or answer.llm not in decision.candidates:
        return decision
    return dataclasses.replace(decision, llm=answer.llm, propensity=math.nan)


def _outcomes(rows: list[tuple[str, StoredServed]]) -> dict[str, Any]:
    """The columns of the table outcomes: means over the answers of a model to a query."""
    pairs: dict[tuple[str, str], list[StoredServed]] = collections.defaultdict(list)
    for query_id, answer in rows:
        pairs[query_id, answer.llm].append(answer)
    columns: dict[str, Any] = {"query_id": [query for query, _ in pairs], "llm": [llm for _, llm in pairs]}
    for name in ("cost", "input_tokens", "output_tokens"):
        known = [[value for one in some if (value := getattr(one, name)) is not None] for some in pairs.values()]
        columns[name] = pa.array([statistics.fmean(some) if some else None for some in known], pa.float64())
    return columns


def _reward(verdicts: Iterable[LiveFeedback], decision: StoredDecision) -> float | None:
    """1 if the user liked what was served, 0 if not, by its latest thumb on it or choice; None if unknown.

    Ratings do not count: their range is not known. Fallbacks have none: off-policy estimates leave them out then, and
    would refuse a log in which propensities of rewarded decisions are missing.
    """
    llm, reward = decision.llm, None
    if math.isnan(decision.propensity):
        return None
    for said in verdicts:
        if said.kind == "thumb" and said.llm == llm:
            reward = said.value
        elif said.kind == "choice":
            reward = float(said.llm == llm)
    return reward


def _hashed(task_id: str | None, text: str) -> str:
    column = pa.array([task_id], pa.large_string()), pa.array([text], pa.large_string())
    return str(query_ids(*column)[0])
