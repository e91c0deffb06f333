"""Why this LLM: what each past decision, and each property of the answers, adds to a choice, as numbers.

A decision adds what would be missing without it: the user is read again from a history that lacks that one decision,
by the same lines that read any user, so the numbers hold for every network and are exact. A property adds what would
be missing if the user weighed it as a stranger does.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions, strings
from prouter_jax.data.rewards import DecisionArrays, build_decisions
from prouter_jax.model.inference import QueryBatch
from prouter_jax.serving.routing import Pool


@dataclasses.dataclass(frozen=True)
class DecisionInfluence:
    """A past decision of the user and what it adds to the choice of now: with all decisions minus without this one.

    Attributes:
      query, said: the text, and in words what the user said of the answers to it.
      probability: added to the probability of the pick.
      log_odds: added to the log-odds of the pick against the runner-up.
    """

    query: str
    said: str
    probability: float
    log_odds: float


@dataclasses.dataclass(frozen=True)
class PropertyInfluence:
    """What the user's weight on a property of answers, against a stranger's, adds to the log-odds of the pick.

    So a user who minds cost less than a stranger has cost speak for a dear pick.

    Attributes:
      weight, stranger: the two weights, NaN for a property of several columns.
    """

    name: str
    log_odds: float
    weight: float
    cold_start_user: float

    def words(self) -> str:
        """The property, and its weights where there are two numbers to tell."""
        if math.isnan(self.weight):
            return self.name
        return f"{self.name} (weight {self.weight:+.2f}, a stranger's {self.cold_start_user:+.2f})"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why an LLM is picked for a user and a query.

    Attributes:
      llm, runner_up: the pick and the LLM that comes next, with their probabilities.
      decisions: the past decisions that add or take most, by the size of `probability`.
      properties: the same of properties, by the size of `log_odds`; empty where users are not weights on properties.
      decided, tried: how many decisions the user has made, and how many of them were left out in turn.
      newest: whether those are the newest; else they are spread evenly over the user's decisions.
    """

    user_id: str
    query: str
    llm: str
    probability: float
    runner_up: str
    runner_up_probability: float
    decisions: list[DecisionInfluence]
    properties: list[PropertyInfluence]
    decided: int
    tried: int
    newest: bool

    def summary(self) -> str:
        """The choice in one sentence."""
        next_best = f"{self.runner_up} comes next with {self.runner_up_probability:.3f}"
        return f"{self.llm} is picked with probability {self.probability:.3f}; {next_best}."

    def basis(self) -> str:
        """In one sentence, how many decisions the numbers rest on."""
        if not self.decided:
            return "The user has no past decisions: this is the choice for anybody."
        if self.tried == self.decided:
            return f"Each of the user's {self.decided} past decisions was left out in turn."
        which = "the newest" if self.newest else "spread evenly over them"
        return f"Of the user's {self.decided} past decisions {self.tried}, {which}, were left out in turn."

    def to_text(self) -> str:
        """The whole explanation for a terminal."""
        lines = [f"{self.user_id} asks: {_short(self.query)}", self.summary(), self.basis()]
        if self.decisions:
            lines += ["", "probability   log-odds   past decision"]
            lines += [
                f"{row.probability:+11.4f} {row.log_odds:+10.3f}   {row.said}: {_short(row.query)}"
                for row in self.decisions
            ]
        if self.properties:
            lines += ["", "              log-odds   what the user weighs otherwise than a stranger"]
            lines += [f"{row.log_odds:+22.3f}   {row.words()}" for row in self.properties]
        return "\n".join(lines)


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


_MOST_TRIED = 200  # decisions that are left out in turn
_FEWEST_CLONES = 16

Reader = Callable[[Interactions], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Question:
    """What is to be explained: a user's row in the pool, and one query with the LLMs on offer, bool [llms]."""

    user: int
    text: str
    asked: QueryBatch
    offered: np.ndarray


def ask(pool: Pool, user_id: str, text: str, task_id: str = "") -> Question:
    """The question of a user, as scoring takes it, with all LLMs on offer.

    Raises:
      ValueError: on an unknown user or task, no text, or a pool that cannot place texts.
    """
    if user_id not in pool.user_rows:
        raise ValueError(f"user_id: expected one of {len(pool.user_rows)} known users, found {user_id!r}")
    if task_id and task_id not in pool.task_rows:
        raise ValueError(f"task_id: expected one of {', '.join(pool.task_rows)}, found {task_id!r}")
    if not text:
        raise ValueError("query: expected a text, found none")
    asked = pool.scorer.ask(pool.describe([text], np.array([pool.task_rows.get(task_id, -1)])))
    return Question(pool.user_rows[user_id], text, asked, np.ones(len(pool.llms), bool))


def explain(pool: Pool, known: Interactions, read: Reader, question: Question, most: int) -> Explanation:
    """Explains the pick for a question.

    Args:
      known: the histories behind `pool.users`.
      read: states of the users of interactions, over the queries and LLMs of `known`, [users, properties].
      most: decisions, and properties, that are told.

    Raises:
      ValueError: if fewer than two LLMs are on offer, or `most` is not positive.
    """
    if question.offered.sum() < 2:
        raise ValueError(f"candidates: expected at least 2 LLMs to compare, found {question.offered.sum()}")
    if most < 1:
        raise ValueError(f"most: expected at least 1, found {most}")
    choice = _Choice.of(pool, question)
    rows = np.flatnonzero(known.decisions.user == question.user)
    tried, newest = _sample(rows, known.decisions.time[rows])
    decisions = _decisions(choice, known, read, rows, tried)
    chances = choice.chances(pool.users[question.user][None])[0]
    return Explanation(
        user_id=known.users.ids[question.user],
        query=question.text,
        llm=pool.llms[choice.pick],
        probability=float(chances[choice.pick]),
        runner_up=pool.llms[choice.second],
        runner_up_probability=float(chances[choice.second]),
        decisions=sorted(decisions, key=lambda row: -abs(row.probability))[:most],
        properties=sorted(_properties(choice), key=lambda row: -abs(row.log_odds))[:most],
        decided=len(rows),
        tried=len(tried),
        newest=newest,
    )


@dataclasses.dataclass(frozen=True)
class _Choice:
    """A question, the pick and the runner-up, rows of LLMs; and how other states of the user would see them."""

    pool: Pool
    question: Question
    pick: int
    second: int

    @classmethod
    def of(cls, pool: Pool, question: Question) -> "_Choice":
        logits = cls(pool, question, 0, 0)._logits(pool.users[question.user][None])[0]
        pick, second = np.argsort(-logits, kind="stable")[:2]
        return cls(pool, question, int(pick), int(second))

    def chances(self, states: np.ndarray) -> np.ndarray:
        """Probabilities of the LLMs for states of the user [states, properties], [states, llms]."""
        logits = self._logits(states)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def log_odds(self, states: np.ndarray) -> np.ndarray:
        """Of the pick against the runner-up, [states]."""
        logits = self._logits(states)
        return logits[:, self.pick] - logits[:, self.second]

    def _logits(self, states: np.ndarray) -> np.ndarray:
        rows = np.arange(len(states))
        logits = self.pool.scorer.logits(states, self.question.asked, rows, np.zeros_like(rows))
        return np.where(self.question.offered, self.pool.temperature * logits.astype(np.float64), -np.inf)


def _sample(rows: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, bool]:
    """The decisions to leave out in turn, places in `rows`, and whether they are the newest."""
    if len(rows) <= _MOST_TRIED:
        return np.arange(len(rows)), False
    if not np.isnan(time).any():
        return np.sort(np.argsort(time, kind="stable")[-_MOST_TRIED:]), True
    return np.linspace(0, len(rows) - 1, _MOST_TRIED).round().astype(int), False


def _decisions(
    choice: _Choice, known: Interactions, read: Reader, rows: np.ndarray, tried: np.ndarray
) -> list[DecisionInfluence]:
    """What each of the tried decisions adds."""
    if not len(tried):
        return []
    states = np.array(read(_clones(known, rows, tried)))[: len(tried) + 1]
    if len(rows) == 1:
        states[1] = choice.pool.scorer.cold_start_user  # nobody is known by nothing
    chance, odds = choice.chances(states)[:, choice.pick], choice.log_odds(states)
    said = build_decisions(known, rows[tried])
    return [
        DecisionInfluence(
            str(known.queries.texts[said.query[row]]),
            _words(known, said, row),
            float(chance[0] - chance[row + 1]),
            float(odds[0] - odds[row + 1]),
        )
        for row in range(len(tried))
    ]


def _clones(known: Interactions, rows: np.ndarray, tried: np.ndarray) -> Interactions:
    """The user of the decisions `rows` again and again: with all of them, then without each of the `tried` places.

    Users without decisions fill up the number to a power of two, so that few sizes are compiled.
    """
    alone = tables.select_decisions(known, np.isin(np.arange(len(known.decisions.user)), rows))
    kept = np.ones((len(tried) + 1, len(rows)), bool)
    kept[np.arange(1, len(kept)), tried] = False
    copies = [tables.select_decisions(alone, keep) for keep in kept]
    ends = np.cumsum([len(copy.decisions.user) for copy in copies])
    decisions = [
        dataclasses.replace(copy.decisions, user=np.full(len(copy.decisions.user), row, np.int32))
        for row, copy in enumerate(copies)
    ]
    feedback = [
        dataclasses.replace(copy.feedback, decision=(copy.feedback.decision + start).astype(np.int32))
        for copy, start in zip(copies, (0, *ends[:-1]), strict=True)
    ]
    number = max(_FEWEST_CLONES, 1 << len(tried).bit_length())
    users = tables.Users(strings(np.arange(number)), np.full(number, np.nan))
    return alone.replace(users=users, decisions=tables.concatenate(decisions), feedback=tables.concatenate(feedback))


def _words(known: Interactions, said: DecisionArrays, row: int) -> str:
    """What a user said in a decision."""
    chosen = known.llms.ids[said.target[row] > 0]
    if len(chosen):
        return f"chose {' = '.join(chosen)}"
    if np.isnan(said.rating[row]).all():
        given = np.flatnonzero(said.thumb[row] >= 0)
        return ", ".join(f"thumb {('down', 'up')[said.thumb[row, llm]]} for {known.llms.ids[llm]}" for llm in given)
    best = int(np.nanargmax(said.rating[row]))
    return f"rated {known.llms.ids[best]} best ({said.rating[row, best]:.2g})"


def _properties(choice: _Choice) -> list[PropertyInfluence]:
    """What each named property adds; nothing where the user weighs it as a stranger does."""
    named, cold_start_user = choice.pool.scorer.named, choice.pool.scorer.cold_start_user
    user = choice.pool.users[choice.question.user]
    states = np.tile(user, (len(named) + 1, 1))
    for row, at in enumerate(named.values(), 1):
        states[row, at] = cold_start_user[at]
    odds = choice.log_odds(states)
    return [
        PropertyInfluence(name, float(odds[0] - odds[row]), *_weights(user[at], cold_start_user[at]))
        for row, (name, at) in enumerate(named.items(), 1)
        if (user[at] != cold_start_user[at]).any()
    ]


def _weights(user: np.ndarray, cold_start_user: np.ndarray) -> tuple[float, float]:
    return (float(user[0]), float(cold_start_user[0])) if len(user) == 1 else (math.nan, math.nan)
