"""Builds `Interactions` item by item while the files of a data set are read.

Each distinct name and text is kept once and numbers are kept in compact arrays, so that memory grows with the data, not
with the length of the files.
"""

import array
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.distinct import first_seen
from prouter_jax.data.interactions import Decisions, Feedback, Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.public.records import FileSet, PublicData
from prouter_jax.data.tables.schema import OUTCOME_NUMBERS
from prouter_jax.data.validation import validate


class RowIndex(dict):
    """Maps each key to a row number, assigned when the key is first looked up."""

    def __missing__(self, key) -> int:
        self[key] = len(self)
        return self[key]


class InteractionsBuilder:
    """Collects queries, outcomes and decisions in any order; users, tasks and LLMs follow from their names.

    Attributes:
      llms: the row of each LLM by name; looking up a new name adds the LLM.
    """

    def __init__(self):
        self.llms = RowIndex()
        self._users, self._tasks, self._offers = RowIndex(), RowIndex(), RowIndex()
        self._queries: dict[str, int] = {}
        self._texts: list[str] = []
        self._task = array.array("i")
        self._outcome_query, self._outcome_llm = array.array("i"), array.array("i")
        self._numbers = {name: array.array("d") for name in OUTCOME_NUMBERS}
        self._responses: list[str] = []
        self._decisions = {name: array.array("i") for name in ("user", "query", "offer", "first")}
        self._time = array.array("d")
        self._feedback = {name: array.array("i") for name in ("decision", "kind", "llm")}
        self._value = array.array("d")

    def add_query(self, id_: str, text: str, task: str = "") -> int:
        """Adds a query unless its id exists.

        Args:
          task: the task id, "" for none; ignored for an id that exists.

        Returns:
          The row of the query, -1 if the id exists with another text.
        """
        row = self._queries.setdefault(id_, len(self._texts))
        if row == len(self._texts):
            self._texts.append(text)
            self._task.append(self._tasks[task] if task else -1)
        return row if self._texts[row] == text else -1

    def add_outcome(self, query: int, llm: int, response: str = "", **numbers: float) -> None:
        """Adds the outcome of an answer; later outcomes of the same query and LLM are ignored.

        Args:
          response: text of the answer, "" for none.
          **numbers: columns of `Outcomes` (effect, cost, ...); NaN by default.
        """
        self._outcome_query.append(query)
        self._outcome_llm.append(llm)
        self._responses.append(response)
        for name, column in self._numbers.items():
            column.append(numbers.get(name, np.nan))

    def add_decision(
        self,
        user: str,
        query: int,
        candidates: Iterable[int],
        kind: int,
        values: Mapping[int, float],
        first: int = -1,
        time: float = np.nan,
    ) -> None:
        """Adds a decision and its feedback.

        Args:
          candidates: rows of the LLMs on offer.
          values: the feedback value by row of the LLM.
          first: row of the LLM whose answer is shown first, -1 for none.
          time: time of the decision, NaN for none.
        """
        number = len(self._time)
        offer = self._offers[tuple(sorted(candidates))]
        for column, value in zip(self._decisions.values(), (self._users[user], query, offer, first), strict=True):
            column.append(value)
        self._time.append(time)
        for llm, value in values.items():
            for column, cell in zip(self._feedback.values(), (number, kind, llm), strict=True):
                column.append(cell)
            self._value.append(value)

    def build_outcomes_only(self, files: FileSet) -> PublicData:
        """The result for a data set without users. Counts repeated outcomes of a query and an LLM as dropped.

        Raises:
          ValueError: if there is no outcome.
        """
        if not self._responses:
            raise files.empty_error("an answer with a score")
        files.drop("second answers of an LLM to a query", len(self._responses) - len(self._first_outcomes()))
        return files.result(self.build())

    def build(self) -> Interactions:
        """The validated data."""
        tasks, ids = interactions.strings(list(self._tasks)), interactions.strings(list(self._queries))
        offers = np.zeros((len(self._offers), len(self.llms)), bool)
        for number, members in enumerate(self._offers):
            offers[number, list(members)] = True
        return validate(
            Interactions(
                users=Users(interactions.strings(list(self._users)), np.full(len(self._users), np.nan)),
                tasks=Tasks(tasks, tasks),
                queries=Queries(ids, interactions.strings(self._texts), _rows(self._task)),
                llms=named_llms(list(self.llms)),
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


def named_llms(names: list[str]) -> Llms:
    """LLMs without families, descriptions, prices and pools."""
    empty, missing = interactions.strings([""] * len(names)), np.full(len(names), np.nan)
    return Llms(interactions.strings(names), empty, empty, missing, missing, empty)


@dataclasses.dataclass(frozen=True)
class RatedDecision:
    """The ratings of one user for the answers to one query.

    Attributes:
      user, query_id, text, task: ids, and the text of the query; task is "" for none.
      ratings: the rating by name of the LLM.
      responses: the text of the answer by name of the LLM.
    """

    user: str
    query_id: str
    text: str
    task: str
    ratings: dict[str, float] = dataclasses.field(default_factory=dict)
    responses: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, files: FileSet, llm: str, rating: float, response: str) -> None:
        """Adds a rated answer; another answer of the same LLM is counted as dropped in `files`."""
        if llm in self.ratings:
            files.drop("second answers of an LLM in a decision")
            return
        self.ratings[llm], self.responses[llm] = rating, response


def build_from_ratings(files: FileSet, decisions: Iterable[RatedDecision]) -> PublicData:
    """The result for a data set of ratings. Drops decisions with fewer than two rated answers.

    Raises:
      ValueError: if no decision is left.
    """
    builder = InteractionsBuilder()
    for rated in decisions:
        if len(rated.ratings) < 2:
            files.drop("rated answers without another beside them", len(rated.ratings))
            continue
        query = builder.add_query(rated.query_id, rated.text, rated.task)
        if query < 0:
            files.drop("rated answers to another text than the query's first", len(rated.ratings))
            continue
        ratings = {builder.llms[name]: rating for name, rating in rated.ratings.items()}
        for name, response in rated.responses.items():
            builder.add_outcome(query, builder.llms[name], response)
        builder.add_decision(rated.user, query, ratings, interactions.RATING, ratings)
    if not builder.llms:
        raise files.empty_error("two rated answers to a query")
    return files.result(builder.build())
