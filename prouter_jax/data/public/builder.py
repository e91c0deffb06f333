"""`Interactions` put together piece by piece, from names as they come along.

Names get numbers by first appearance, each text is kept once and numbers are kept in arrays, so that memory grows
with what the data has to say, not with the length of its files.
"""

import array
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.distinct import first_seen
from prouter_jax.data.interactions import (
    RATING,
    Decisions,
    Feedback,
    Interactions,
    Llms,
    Outcomes,
    Queries,
    Tasks,
    Users,
)
from prouter_jax.data.public.records import FileSet, Read
from prouter_jax.data.validation import validate

_NUMBERS = ("effect", "cost", "input_tokens", "output_tokens")


class Names(dict):
    """Numbers its keys by first appearance."""

    def __missing__(self, key) -> int:
        self[key] = len(self)
        return self[key]


class Collected:
    """Takes queries, outcomes and decisions in any order; `llms` gives an LLM's number."""

    def __init__(self):
        self.llms = Names()
        self._users, self._tasks, self._offers = Names(), Names(), Names()
        self._queries: dict[str, int] = {}
        self._texts: list[str] = []
        self._task = array.array("i")
        self._outcome_query, self._outcome_llm = array.array("i"), array.array("i")
        self._numbers = {name: array.array("d") for name in _NUMBERS}
        self._responses: list[str] = []
        self._decisions = {name: array.array("i") for name in ("user", "query", "offer", "first")}
        self._time = array.array("d")
        self._feedback = {name: array.array("i") for name in ("decision", "kind", "llm")}
        self._value = array.array("d")

    def query(self, id_: str, text: str, task: str = "") -> int:
        """The number of a query, -1 if another text has its id; its task is the one it first came with."""
        number = self._queries.setdefault(id_, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
            self._task.append(self._tasks[task] if task else -1)
        return number if self._texts[number] == text else -1

    def outcome(self, query: int, llm: int, response: str = "", **numbers: float) -> None:
        """What an answer was worth, in columns of `Outcomes`; of several of a query and an LLM the first counts."""
        self._outcome_query.append(query)
        self._outcome_llm.append(llm)
        self._responses.append(response)
        for name, column in self._numbers.items():
            column.append(numbers.get(name, np.nan))

    def decide(
        self,
        user: str,
        query: int,
        candidates: Iterable[int],
        kind: int,
        values: Mapping[int, float],
        first: int = -1,
        time: float = np.nan,
    ) -> None:
        """A decision of a user among `candidates`, and the feedback of one kind on LLMs by their number."""
        number = len(self._time)
        offer = self._offers[tuple(sorted(candidates))]
        for column, value in zip(self._decisions.values(), (self._users[user], query, offer, first), strict=True):
            column.append(value)
        self._time.append(time)
        for llm, value in values.items():
            for column, cell in zip(self._feedback.values(), (number, kind, llm), strict=True):
                column.append(cell)
            self._value.append(value)

    def outcomes_alone(self, files: FileSet) -> Read:
        """What there is where nobody chose; second outcomes of a query and an LLM are dropped.

        Raises:
          ValueError: if there is nothing.
        """
        if not self._responses:
            raise files.nothing_left("an answer with a score")
        files.drop("second answers of an LLM to a query", len(self._responses) - len(self._first_outcomes()))
        return files.result(self.build())

    def build(self) -> Interactions:
        """All of it, validated."""
        names = interactions.strings(list(self.llms))
        none, unknown = interactions.strings([""] * len(names)), np.full(len(names), np.nan)
        tasks = interactions.strings(list(self._tasks))
        offers = np.zeros((len(self._offers), len(names)), bool)
        for number, members in enumerate(self._offers):
            offers[number, list(members)] = True
        return validate(
            Interactions(
                users=Users(interactions.strings(list(self._users)), np.full(len(self._users), np.nan)),
                tasks=Tasks(tasks, tasks),
                queries=Queries(
                    interactions.strings(list(self._queries)), interactions.strings(self._texts), _rows(self._task)
                ),
                llms=Llms(names, none, none, unknown, unknown, none),
                outcomes=self._outcomes(),
                offers=offers,
                decisions=self._all_decisions(),
                feedback=self._all_feedback(),
            )
        )

    def _first_outcomes(self) -> np.ndarray:
        pair = _rows(self._outcome_query).astype(np.int64) * max(len(self.llms), 1) + _rows(self._outcome_llm)
        return first_seen(pair)[1]

    def _outcomes(self) -> Outcomes:
        rows = self._first_outcomes()
        numbers = {name: np.array(column)[rows] for name, column in self._numbers.items()}
        response = None
        if any(self._responses):
            response = interactions.strings([self._responses[row] for row in rows])
        return Outcomes(_rows(self._outcome_query)[rows], _rows(self._outcome_llm)[rows], **numbers, response=response)

    def _all_decisions(self) -> Decisions:
        columns = {name: _rows(column) for name, column in self._decisions.items()}
        ids = interactions.strings([f"decision{number}" for number in range(len(self._time))])
        return Decisions(ids=ids, time=np.array(self._time), **columns)

    def _all_feedback(self) -> Feedback:
        decision, kind, llm = (_rows(column) for column in self._feedback.values())
        return Feedback(decision, kind.astype(np.int8), llm, np.array(self._value, np.float32))


def _rows(column: array.array) -> np.ndarray:
    return np.array(column, np.int32)


@dataclasses.dataclass(frozen=True)
class Rated:
    """A user's ratings of the answers to a query, and the answers, by LLM."""

    user: str
    query_id: str
    text: str
    task: str
    ratings: dict[str, float] = dataclasses.field(default_factory=dict)
    responses: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, files: FileSet, llm: str, rating: float, response: str) -> None:
        """One more answer; the second of an LLM is dropped."""
        if llm in self.ratings:
            files.drop("second answers of an LLM in a decision")
            return
        self.ratings[llm], self.responses[llm] = rating, response


def read_rated(files: FileSet, decisions: Iterable[Rated]) -> Read:
    """The decisions as data; where fewer than two answers were rated there was none.

    Raises:
      ValueError: if nothing is left.
    """
    collected = Collected()
    for rated in decisions:
        if len(rated.ratings) < 2:
            files.drop("rated answers without another beside them", len(rated.ratings))
            continue
        query = collected.query(rated.query_id, rated.text, rated.task)
        if query < 0:
            files.drop("rated answers to another text than the query's first", len(rated.ratings))
            continue
        ratings = {collected.llms[name]: rating for name, rating in rated.ratings.items()}
        for name, response in rated.responses.items():
            collected.outcome(query, collected.llms[name], response)
        collected.decide(rated.user, query, ratings, RATING, ratings)
    if not collected.llms:
        raise files.nothing_left("two rated answers to a query")
    return files.result(collected.build())
