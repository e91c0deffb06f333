"""Explains one pick: the influence of the user's past decisions and of the properties of the answers, as numbers.

Decisions: leave-one-out. The influence of a decision is the prediction with the whole history minus the prediction with
the history without that decision. Both histories go through the trained network, so this holds for every network.

Properties: the influence of a property is the prediction minus the prediction after the user's weight on the property
is replaced by the weight of a new user, that is, of a user without history.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions, strings
from prouter_jax.data.rewards import DecisionArrays, build_decisions
from prouter_jax.io.display import truncate
from prouter_jax.model.inference import QueryBatch
from prouter_jax.serving.routing import Pool

OPPOSITE_SIGNS = (
    "The probability of the pick is among all LLMs; its log-odds are against the runner-up alone. Their signs can "
    "differ, because a decision also moves the other LLMs."
)
"""How to read the two numbers of a `DecisionInfluence`."""
_MOST_LEFT_OUT = 200  # decisions that are left out, one at a time
_LONGEST_TEXT = 80  # characters of a query in a terminal
_FEWEST_USERS = 16  # smallest number of users in a leave-one-out batch

UserEncoder = Callable[[Interactions], np.ndarray]  # states of the users of some interactions, [users, properties]


@dataclasses.dataclass(frozen=True)
class DecisionInfluence:
    """A past decision of the user and its influence on the pick.

    Attributes:
      query: text of the query that the user decided on.
      feedback: the decision in words, such as "chose alder-1".
      probability: change that the decision makes to the probability of the pick.
      log_odds: change that it makes to the log-odds of the pick against the runner-up.
    """

    query: str
    feedback: str
    probability: float
    log_odds: float


@dataclasses.dataclass(frozen=True)
class PropertyInfluence:
    """A property of answers and the influence of the user's weight on it.

    A user who minds cost less than a new user has a positive influence of cost on an expensive pick.

    Attributes:
      name: the property, such as "cost".
      log_odds: change of the log-odds of the pick against the runner-up, relative to a new user's weight.
      weight, new_user_weight: the user's and a new user's weight; NaN for a property of several features.
    """

    name: str
    log_odds: float
    weight: float
    new_user_weight: float

    def label(self) -> str:
        """The name of the property, followed by the weights if they are single numbers."""
        if math.isnan(self.weight):
            return self.name
        return f"{self.name} (weight {self.weight:+.2f}, a new user's {self.new_user_weight:+.2f})"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The pick for a user and a query, and the largest influences on it.

    Attributes:
      user_id: the user.
      query: text of the query.
      llm, probability: the pick.
      runner_up, runner_up_probability: the second most probable LLM.
      decisions: most influential past decisions, by |probability|.
      properties: most influential properties, by |log_odds|; empty if user states are no weights on properties.
      num_decisions: number of past decisions of the user.
      num_left_out: number of them that were left out, one at a time.
      newest: whether the decisions left out are the newest; otherwise they are evenly spaced.
    """

    user_id: str
    query: str
    llm: str
    probability: float
    runner_up: str
    runner_up_probability: float
    decisions: list[DecisionInfluence]
    properties: list[PropertyInfluence]
    num_decisions: int
    num_left_out: int
    newest: bool

    def summary(self) -> str:
        """One sentence on the pick and the runner-up."""
        runner_up = f"{self.runner_up} is second with probability {self.runner_up_probability:.3f}"
        return f"{self.llm} is picked with probability {self.probability:.3f}; {runner_up}."

    def coverage(self) -> str:
        """One sentence on how many past decisions were left out to measure their influence."""
        if not self.num_decisions:
            return "The user has no past decisions: this is the choice for every new user."
        if self.num_left_out == self.num_decisions:
            return f"The influence of each of the user's {self.num_decisions} past decisions was measured."
        which = "the newest" if self.newest else "evenly spaced"
        return (
            f"The influence of {self.num_left_out} of the user's {self.num_decisions} past decisions was measured "
            f"({which})."
        )

    def to_text(self) -> str:
        """The whole explanation for a terminal."""
        lines = [f"User {self.user_id}, query: {truncate(self.query, _LONGEST_TEXT)}", self.summary(), self.coverage()]
        if self.decisions:
            lines += ["", "probability   log-odds   past decision"]
            lines += [
                f"{row.probability:+11.4f} {row.log_odds:+10.3f}   {row.feedback}: {truncate(row.query, _LONGEST_TEXT)}"
                for row in self.decisions
            ]
            lines += ["", OPPOSITE_SIGNS]
        if self.properties:
            lines += ["", "              log-odds   property that the user weighs differently from a new user"]
            lines += [f"{row.log_odds:+22.3f}   {row.label()}" for row in self.properties]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Question:
    """A pick to explain.

    Attributes:
      user: row of the user in the pool.
      text: text of the query.
      batch: features of the query, a batch of one.
      offered: the candidates, bool [llms].
    """

    user: int
    text: str
    batch: QueryBatch
    offered: np.ndarray


def ask(pool: Pool, user_id: str, text: str, task_id: str = "") -> Question:
    """Makes the question for a user and a text, with all LLMs as candidates.

    Raises:
      ValueError: on an unknown user or task, an empty text, or a pool without a text encoder.
    """
    if user_id not in pool.user_rows:
        raise ValueError(f"user_id: expected one of {len(pool.user_rows)} users with history, found {user_id!r}")
    if task_id and task_id not in pool.task_rows:
        raise ValueError(f"task_id: expected one of {', '.join(pool.task_rows)}, found {task_id!r}")
    if not text:
        raise ValueError("query: expected a text, found none")
    batch = pool.scorer.ask(pool.encode([text], np.array([pool.task_rows.get(task_id, -1)])))
    return Question(pool.user_rows[user_id], text, batch, np.ones(len(pool.llms), bool))


def explain(pool: Pool, known: Interactions, encode_users: UserEncoder, question: Question, most: int) -> Explanation:
    """Explains the pick for a question.

    Args:
      pool: the state of the router.
      known: interactions with the histories of the users in `pool`.
      encode_users: states of the users of interactions over the queries and LLMs of `known`.
      most: largest number of decisions, and of properties, in the explanation.

    Raises:
      ValueError: on fewer than two candidates, or if `most` is not positive.
    """
    if question.offered.sum() < 2:
        raise ValueError(f"candidates: expected at least 2 LLMs to compare, found {question.offered.sum()}")
    if most < 1:
        raise ValueError(f"most: expected at least 1, found {most}")
    prediction = _Prediction.of(pool, question)
    rows = np.flatnonzero(known.decisions.user == question.user)
    left_out, newest = _sample(rows, known.decisions.time[rows])
    decisions = _decision_influences(prediction, known, encode_users, rows, left_out)
    probabilities = prediction.probabilities(pool.users[question.user][None])[0]
    return Explanation(
        user_id=known.users.ids[question.user],
        query=question.text,
        llm=pool.llms[prediction.pick],
        probability=float(probabilities[prediction.pick]),
        runner_up=pool.llms[prediction.runner_up],
        runner_up_probability=float(probabilities[prediction.runner_up]),
        decisions=sorted(decisions, key=lambda row: -abs(row.probability))[:most],
        properties=sorted(_property_influences(prediction), key=lambda row: -abs(row.log_odds))[:most],
        num_decisions=len(rows),
        num_left_out=len(left_out),
        newest=newest,
    )


@dataclasses.dataclass(frozen=True)
class _Prediction:
    """A question with the LLM rows of its pick and runner-up; predicts the choice for other states of the user."""

    pool: Pool
    question: Question
    pick: int
    runner_up: int

    @classmethod
    def of(cls, pool: Pool, question: Question) -> "_Prediction":
        logits = cls(pool, question, 0, 0)._logits(pool.users[question.user][None])[0]
        pick, runner_up = np.argsort(-logits, kind="stable")[:2]
        return cls(pool, question, int(pick), int(runner_up))

    def probabilities(self, states: Float[np.ndarray, "states properties"]) -> Float[np.ndarray, "states llms"]:
        logits = self._logits(states)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def log_odds(self, states: Float[np.ndarray, "states properties"]) -> Float[np.ndarray, " states"]:
        """Of the pick against the runner-up."""
        logits = self._logits(states)
        return logits[:, self.pick] - logits[:, self.runner_up]

    def _logits(self, states: np.ndarray) -> np.ndarray:
        rows = np.arange(len(states))
        logits = self.pool.scorer.logits(states, self.question.batch, rows, np.zeros_like(rows))
        return np.where(self.question.offered, self.pool.temperature * logits.astype(np.float64), -np.inf)


def _sample(rows: np.ndarray, time: np.ndarray) -> tuple[Int[np.ndarray, " left_out"], bool]:
    """Indices into `rows` of the decisions to leave out, and whether they are the newest."""
    if len(rows) <= _MOST_LEFT_OUT:
        return np.arange(len(rows)), False
    if not np.isnan(time).any():
        return np.sort(np.argsort(time, kind="stable")[-_MOST_LEFT_OUT:]), True
    return np.linspace(0, len(rows) - 1, _MOST_LEFT_OUT).round().astype(int), False


def _decision_influences(
    prediction: _Prediction, known: Interactions, encode_users: UserEncoder, rows: np.ndarray, left_out: np.ndarray
) -> list[DecisionInfluence]:
    """The influence of each decision `rows[left_out]`; `rows` is the whole history of the user."""
    if not len(left_out):
        return []
    states = np.array(encode_users(_leave_one_out(known, rows, left_out)))[: len(left_out) + 1]
    if len(rows) == 1:
        states[1] = prediction.pool.scorer.cold_start_user  # its history is empty
    probability, log_odds = prediction.probabilities(states)[:, prediction.pick], prediction.log_odds(states)
    decisions = build_decisions(known, rows[left_out])
    return [
        DecisionInfluence(
            str(known.queries.texts[decisions.query[row]]),
            _feedback_text(known, decisions, row),
            float(probability[0] - probability[row + 1]),
            float(log_odds[0] - log_odds[row + 1]),
        )
        for row in range(len(left_out))
    ]


def _leave_one_out(known: Interactions, rows: np.ndarray, left_out: np.ndarray) -> Interactions:
    """Interactions of one user with the decisions `rows`, then one user without `rows[i]` for each i of `left_out`.

    Users without decisions pad the number of users to a power of two, so that few shapes are compiled.
    """
    history = tables.select_decisions(known, np.isin(np.arange(len(known.decisions.user)), rows))
    kept = np.ones((len(left_out) + 1, len(rows)), bool)
    kept[np.arange(1, len(kept)), left_out] = False
    copies = [tables.select_decisions(history, keep) for keep in kept]
    ends = np.cumsum([len(copy.decisions.user) for copy in copies])
    decisions = [
        dataclasses.replace(copy.decisions, user=np.full(len(copy.decisions.user), row, np.int32))
        for row, copy in enumerate(copies)
    ]
    feedback = [
        dataclasses.replace(copy.feedback, decision=(copy.feedback.decision + start).astype(np.int32))
        for copy, start in zip(copies, (0, *ends[:-1]), strict=True)
    ]
    number = max(_FEWEST_USERS, 1 << len(left_out).bit_length())
    users = tables.Users(strings(np.arange(number)), np.full(number, np.nan))
    return history.replace(users=users, decisions=tables.concatenate(decisions), feedback=tables.concatenate(feedback))


def _feedback_text(known: Interactions, decisions: DecisionArrays, row: int) -> str:
    """The choice, the thumbs or the best rating of one decision."""
    chosen = known.llms.ids[decisions.target[row] > 0]
    if len(chosen):
        return f"chose {' = '.join(chosen)}"
    if np.isnan(decisions.rating[row]).all():
        thumbs = decisions.thumb[row]
        rated = np.flatnonzero(thumbs >= 0)
        return ", ".join(f"thumb {('down', 'up')[thumbs[llm]]} for {known.llms.ids[llm]}" for llm in rated)
    best = int(np.nanargmax(decisions.rating[row]))
    return f"rated {known.llms.ids[best]} best ({decisions.rating[row, best]:.2g})"


def _property_influences(prediction: _Prediction) -> list[PropertyInfluence]:
    """The influence of each named property whose weight differs from a new user's."""
    named, new_user = prediction.pool.scorer.named, prediction.pool.scorer.cold_start_user
    user = prediction.pool.users[prediction.question.user]
    states = np.tile(user, (len(named) + 1, 1))
    for row, features in enumerate(named.values(), 1):
        states[row, features] = new_user[features]
    log_odds = prediction.log_odds(states)
    influence = log_odds[0] - log_odds[1:]
    return [
        PropertyInfluence(name, float(influence[row]), _weight(user[features]), _weight(new_user[features]))
        for row, (name, features) in enumerate(named.items())
        if (user[features] != new_user[features]).any()
    ]


def _weight(weights: np.ndarray) -> float:
    """The weight of a property of one feature, NaN for several."""
    return float(weights[0]) if len(weights) == 1 else math.nan
