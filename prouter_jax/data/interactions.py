"""`Interactions`: users, queries, LLMs, outcomes, decisions and feedback, as tables of column arrays.

Every reader and simulator of data returns an `Interactions`, checked by `data.validation.validate`. References are row
numbers: `decisions.user[i]` is a row of `users.ids`. Missing numbers are NaN, missing references -1.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from prouter_jax.data.distinct import distinct_sets

KINDS = ("choice", "rating", "thumb")
"""Kinds of feedback; `Feedback.kind` is an index of this tuple."""
CHOICE, RATING, THUMB = range(len(KINDS))


@dataclasses.dataclass(frozen=True)
class Users:
    """Users.

    Attributes:
      ids: str [users].
      preference: float [users], the weight of effect against cost of a simulated user, in [0, 1]; NaN for real users.
        It defines the user's rewards; no policy reads it but the baselines documented so.
    """

    ids: np.ndarray
    preference: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Tasks: kinds of queries.

    Attributes:
      ids, descriptions: str [tasks].
      vectors: float [tasks, width], text vectors that come with the data; None without.
    """

    ids: np.ndarray
    descriptions: np.ndarray
    vectors: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries.

    Attributes:
      ids, texts: str [queries].
      task: int [queries], row of `Tasks`, -1 for none.
      vectors: float [queries, width], text vectors that come with the data; None without.
    """

    ids: np.ndarray
    texts: np.ndarray
    task: np.ndarray
    vectors: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Llms:
    """LLMs.

    Attributes:
      ids, families, descriptions: str [llms]; family "" for none.
      input_price, output_price: float [llms], USD per million tokens, NaN if missing.
      pools: str [llms], name of a group of LLMs that readers can select, "" for none.
    """

    ids: np.ndarray
    families: np.ndarray
    descriptions: np.ndarray
    input_price: np.ndarray
    output_price: np.ndarray
    pools: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Outcomes: measurements of an LLM's answer to a query, at most one for each pair.

    Attributes:
      query, llm: int [outcomes], rows of `Queries` and `Llms`.
      effect: float [outcomes], quality of the answer in [0, 1].
      cost: float [outcomes], USD.
      input_tokens, output_tokens: float [outcomes]. All numbers are NaN if missing.
      response: str [outcomes], text of the answer, "" if missing; None without any text.
      style: float [outcomes, features], `data.style_features` of the answer, a row of NaN if missing; None without any.
    """

    query: np.ndarray
    llm: np.ndarray
    effect: np.ndarray
    cost: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    response: np.ndarray | None = None
    style: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Decisions: a user's query with its candidate LLMs.

    Attributes:
      ids: str [decisions].
      user, query: int [decisions], rows of `Users` and `Queries`.
      offer: int [decisions], the candidate set, a row of `Interactions.offers`.
      time: float [decisions], seconds since 1970 or any other unit; NaN if missing.
      first: int [decisions], the LLM whose answer was displayed first (left), -1 if missing. People prefer one side.
    """

    ids: np.ndarray
    user: np.ndarray
    query: np.ndarray
    offer: np.ndarray
    time: np.ndarray
    first: np.ndarray


@dataclasses.dataclass(frozen=True)
class Feedback:
    """Feedback of users on LLMs in decisions.

    Attributes:
      decision, llm: int [feedback], rows of `Decisions` and `Llms`.
      kind: int8 [feedback], CHOICE, RATING or THUMB.
      value: float [feedback]: of a choice its share (a tie divides 1), the rating, or 1 for thumb up and 0 for down.
    """

    decision: np.ndarray
    kind: np.ndarray
    llm: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Interactions:
    """All data of an experiment.

    Attributes:
      users, tasks, queries, llms, outcomes, decisions, feedback: the tables.
      offers: bool [candidate sets, llms], the distinct sets of candidate LLMs.

    Example:
      >>> from prouter_jax import Interactions, read_tables
      >>> data: Interactions = read_tables("data/mine")
      >>> len(data.users.ids), len(data.llms.ids), data.offers.shape[1]
      (12, 8, 8)
    """

    users: Users
    tasks: Tasks
    queries: Queries
    llms: Llms
    outcomes: Outcomes
    offers: np.ndarray
    decisions: Decisions
    feedback: Feedback

    def replace(self, **tables) -> "Interactions":
        """A copy with some tables replaced."""
        return dataclasses.replace(self, **tables)


def strings(values: Sequence[str] | np.ndarray) -> np.ndarray:
    """An object array of str, the type of all identifiers and texts."""
    array = np.empty(len(values), dtype=object)
    array[:] = [str(value) for value in values]
    return array


def take(table, rows: np.ndarray):
    """The given rows (indices or bool) of one of the tables above."""
    columns = {f.name: getattr(table, f.name) for f in dataclasses.fields(table)}
    return type(table)(**{name: None if column is None else column[rows] for name, column in columns.items()})


def concatenate(tables: list):
    """Concatenates tables of one type.

    `vectors` become None if one table has none. `response` and `style` become missing in the rows of a table without.
    """
    columns = {field.name: [getattr(table, field.name) for table in tables] for field in dataclasses.fields(tables[0])}
    lengths = [len(part) for part in next(iter(columns.values()))]
    return type(tables[0])(**{name: _joined(name, parts, lengths) for name, parts in columns.items()})


def no_decisions() -> Decisions:
    """An empty table of decisions."""
    rows = np.zeros(0, np.int32)
    return Decisions(strings([]), rows, rows, rows, np.zeros(0), rows)


def no_feedback() -> Feedback:
    """An empty table of feedback."""
    rows = np.zeros(0, np.int32)
    return Feedback(rows, np.zeros(0, np.int8), rows, np.zeros(0, np.float32))


def select_llms(data: Interactions, keep: Bool[np.ndarray, " llms"]) -> Interactions:
    """Selects LLMs, with their outcomes, offers and feedback.

    Decisions that lose all feedback or all candidates are dropped. `Decisions.first` of a dropped LLM becomes -1.
    """
    new_row = np.cumsum(keep) - 1
    outcomes = take(data.outcomes, keep[data.outcomes.llm])
    outcomes = dataclasses.replace(outcomes, llm=new_row[outcomes.llm].astype(np.int32))
    feedback = take(data.feedback, keep[data.feedback.llm])
    feedback = dataclasses.replace(feedback, llm=new_row[feedback.llm].astype(np.int32))
    first = np.append(np.where(keep, new_row, -1), -1)[data.decisions.first].astype(np.int32)
    kept = data.replace(
        llms=take(data.llms, keep),
        outcomes=outcomes,
        offers=data.offers[:, keep],
        decisions=dataclasses.replace(data.decisions, first=first),
        feedback=feedback,
    )
    answered = np.zeros(len(data.decisions.user), bool)
    answered[feedback.decision] = True
    return distinct_offers(select_decisions(kept, answered & (kept.offers.sum(1) > 0)[data.decisions.offer]))


def select_users(data: Interactions, most: int) -> Interactions:
    """Selects the first users, at most `most`, with their decisions."""
    users = Users(data.users.ids[:most], data.users.preference[:most])
    return select_decisions(data, data.decisions.user < most).replace(users=users)


def select_decisions(data: Interactions, keep: Bool[np.ndarray, " decisions"]) -> Interactions:
    """Selects decisions by `keep`, bool [decisions], with their feedback."""
    new_row = np.cumsum(keep) - 1
    feedback = take(data.feedback, keep[data.feedback.decision])
    feedback = dataclasses.replace(feedback, decision=new_row[feedback.decision].astype(np.int32))
    return data.replace(decisions=take(data.decisions, keep), feedback=feedback)


def select_queries(
    data: Interactions, rows: Bool[np.ndarray, " queries"] | Int[np.ndarray, " selected"]
) -> Interactions:
    """Selects queries by a mask, or by rows in the order wanted, with their outcomes, decisions and feedback."""
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    new_row = np.full(len(data.queries.ids), -1)
    new_row[rows] = np.arange(len(rows))
    keep = new_row >= 0
    outcomes = take(data.outcomes, keep[data.outcomes.query])
    outcomes = dataclasses.replace(outcomes, query=new_row[outcomes.query].astype(np.int32))
    kept = select_decisions(data, keep[data.decisions.query])
    decisions = dataclasses.replace(kept.decisions, query=new_row[kept.decisions.query].astype(np.int32))
    return kept.replace(queries=take(data.queries, rows), outcomes=outcomes, decisions=decisions)


def distinct_offers(data: Interactions) -> Interactions:
    """Removes repeated and unused rows of `offers`."""
    offers, number = distinct_sets(data.offers)
    used, offer = np.unique(number[data.decisions.offer], return_inverse=True)
    return data.replace(
        offers=offers[used], decisions=dataclasses.replace(data.decisions, offer=offer.astype(np.int32))
    )


def _joined(name: str, parts: list, lengths: list[int]) -> np.ndarray | None:
    """One column of several tables with `lengths` rows; a None is filled or makes the whole column None."""
    given = [part for part in parts if part is not None]
    if not given or (len(given) < len(parts) and name not in _MISSING):
        return None
    filled = [
        np.full((length, *given[0].shape[1:]), _MISSING[name], given[0].dtype) if part is None else part
        for part, length in zip(parts, lengths, strict=True)
    ]
    return np.concatenate(filled)


# Columns that a table may lack, and the values of their missing cells.
_MISSING = {"response": "", "style": np.nan}
