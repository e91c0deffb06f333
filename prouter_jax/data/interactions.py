"""`Interactions`: the one type for all data, as columns of arrays.

Every reader and every simulator returns it and everything after them starts from it. Identifiers
are strings at the door and row numbers inside: `decisions.user[i]` is a row of `users.ids`.
Unknown numbers are NaN. Whoever builds an `Interactions` calls `data.validation.validate` before handing it on.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def distinct_sets(member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of `member` (bool [rows, llms]) by first appearance, and each row's place among them."""
    packed = np.packbits(member, axis=1)
    kind = pa.binary(packed.shape[1])
    cells = pa.FixedSizeBinaryArray.from_buffers(kind, len(packed), [None, pa.py_buffer(np.ascontiguousarray(packed))])
    place = cells.dictionary_encode().indices.to_numpy()
    return member[_first_rows(place)], place.astype(np.int32)


def first_seen(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct keys by first appearance: each key's number, and the row where each number first stands."""
    group = pa.array(keys).dictionary_encode().indices.to_numpy()
    return group, _first_rows(group)


def sorted_distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys in order and each key's place among them, as `np.unique` but without sorting all keys."""
    encoded = pa.array(keys).dictionary_encode()
    found = encoded.dictionary.to_numpy()
    order = np.argsort(found)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return found[order], rank[encoded.indices.to_numpy()]


def first_repeat(keys: np.ndarray) -> int | None:
    """The first row whose key stands in an earlier row."""
    repeated = np.ones(len(keys), bool)
    repeated[first_seen(keys)[1]] = False
    return int(repeated.argmax()) if repeated.any() else None


def _first_rows(group: np.ndarray) -> np.ndarray:
    before = np.maximum.accumulate(np.append(-1, group))[:-1]
    return np.flatnonzero(group > before)


KINDS = ("choice", "rating", "thumb")
CHOICE, RATING, THUMB = range(len(KINDS))


@dataclasses.dataclass(frozen=True)
class Users:
    """Who asks. `preference` [users] is a planted weight of quality in [0, 1], NaN where unknown.

    The preference is the truth behind a simulated user: it judges policies and is shown to none
    but the baselines that say so.
    """

    ids: np.ndarray
    preference: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Kinds of queries; `vectors` [tasks, width] only where the data set brings its own."""

    ids: np.ndarray
    descriptions: np.ndarray
    vectors: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Queries:
    """What is asked: text and task row (-1 for none); `vectors` as in `Tasks`."""

    ids: np.ndarray
    texts: np.ndarray
    task: np.ndarray
    vectors: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Llms:
    """Who may answer. Prices in USD per million tokens, NaN where unknown; pool and family "" for none."""

    ids: np.ndarray
    families: np.ndarray
    descriptions: np.ndarray
    input_price: np.ndarray
    output_price: np.ndarray
    pools: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What an LLM's answer to a query was worth: effect in [0, 1], cost in USD, tokens; NaN where missing.

    `response` [outcomes] is the answer's text, "" where an outcome has none. `style` [outcomes, features] is what
    `answer_style` measures of it, a row of NaN where it is not known. Both are None where no outcome has them.
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
    """Who asked what, when, and which LLMs were on offer: `offer` is a row of `Interactions.offers`.

    `first` is the LLM whose answer was shown first (left), -1 where unknown: people favour a side.
    """

    ids: np.ndarray
    user: np.ndarray
    query: np.ndarray
    offer: np.ndarray
    time: np.ndarray
    first: np.ndarray


@dataclasses.dataclass(frozen=True)
class Feedback:
    """What a user said on a decision: a choice, a rating or a thumb.

    `value` is the share of the choice (ties divide 1), the rating, or 1 for a thumb up and 0 for one down.
    """

    decision: np.ndarray
    kind: np.ndarray
    llm: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Users, tasks, queries, LLMs and what happened between them.

    Attributes:
      offers: bool [candidate sets, llms], each set of LLMs on offer once.

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
        return dataclasses.replace(self, **tables)


def strings(values: Sequence[str] | np.ndarray) -> np.ndarray:
    """An object array of str, the form of all identifiers and texts."""
    array = np.empty(len(values), dtype=object)
    array[:] = [str(value) for value in values]
    return array


def take(table, rows: np.ndarray):
    """The given rows of one of the tables above."""
    columns = {f.name: getattr(table, f.name) for f in dataclasses.fields(table)}
    return type(table)(**{name: None if column is None else column[rows] for name, column in columns.items()})


def concatenate(tables: list):
    """The rows of the tables, all of one type, one after the other.

    Vectors that one table lacks are None; texts and style of answers that one lacks are missing in its rows alone.
    """
    columns = {field.name: [getattr(table, field.name) for table in tables] for field in dataclasses.fields(tables[0])}
    lengths = [len(part) for part in next(iter(columns.values()))]
    return type(tables[0])(**{name: _joined(name, parts, lengths) for name, parts in columns.items()})


def no_decisions() -> Decisions:
    """An empty table: a pool of LLMs and queries that nobody has used yet."""
    rows = np.zeros(0, np.int32)
    return Decisions(strings([]), rows, rows, rows, np.zeros(0), rows)


def no_feedback() -> Feedback:
    """An empty table of feedback."""
    rows = np.zeros(0, np.int32)
    return Feedback(rows, np.zeros(0, np.int8), rows, np.zeros(0, np.float32))


def select_llms(data: Interactions, keep: np.ndarray) -> Interactions:
    """Only the LLMs where `keep` [llms] is true, with their outcomes, offers and feedback.

    A choice that fell on a dropped LLM leaves its decision without feedback; such decisions, and
    those with fewer than one candidate left, are dropped too. Sets that have become equal are one.
    Where the answer shown first was that of a dropped LLM, `first` becomes unknown.
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
    """The first users, at most so many, with their decisions."""
    users = Users(data.users.ids[:most], data.users.preference[:most])
    return select_decisions(data, data.decisions.user < most).replace(users=users)


def select_decisions(data: Interactions, keep: np.ndarray) -> Interactions:
    """Only the decisions where `keep` [decisions] is true, with their feedback."""
    new_row = np.cumsum(keep) - 1
    feedback = take(data.feedback, keep[data.feedback.decision])
    feedback = dataclasses.replace(feedback, decision=new_row[feedback.decision].astype(np.int32))
    return data.replace(decisions=take(data.decisions, keep), feedback=feedback)


def select_queries(data: Interactions, keep: np.ndarray) -> Interactions:
    """Only the queries where `keep` [queries] is true, with their outcomes, decisions and feedback."""
    new_row = np.cumsum(keep) - 1
    outcomes = take(data.outcomes, keep[data.outcomes.query])
    outcomes = dataclasses.replace(outcomes, query=new_row[outcomes.query].astype(np.int32))
    kept = select_decisions(data, keep[data.decisions.query])
    decisions = dataclasses.replace(kept.decisions, query=new_row[kept.decisions.query].astype(np.int32))
    return kept.replace(queries=take(data.queries, keep), outcomes=outcomes, decisions=decisions)


def distinct_offers(data: Interactions) -> Interactions:
    """The same decisions, with each set of LLMs that one of them offers once."""
    offers, place = distinct_sets(data.offers)
    used, offer = np.unique(place[data.decisions.offer], return_inverse=True)
    return data.replace(
        offers=offers[used], decisions=dataclasses.replace(data.decisions, offer=offer.astype(np.int32))
    )


def _joined(name: str, parts: list, lengths: list[int]) -> np.ndarray | None:
    """One column of several tables; `lengths` are those of the tables."""
    given = [part for part in parts if part is not None]
    if not given or (len(given) < len(parts) and name not in _MISSING):
        return None
    filled = [
        np.full((length, *given[0].shape[1:]), _MISSING[name], given[0].dtype) if part is None else part
        for part, length in zip(parts, lengths, strict=True)
    ]
    return np.concatenate(filled)


# What stands for a missing cell in the columns that some tables of a kind may lack.
_MISSING = {"response": "", "style": np.nan}
