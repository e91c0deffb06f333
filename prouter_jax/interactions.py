"""`Interactions`: the one type for all data, as columns of arrays.

Every reader and every simulator returns it and everything after them starts from it. Identifiers
are strings at the door and row numbers inside: `decisions.user[i]` is a row of `users.ids`.
Unknown numbers are NaN. Whoever builds an `Interactions` calls `validate` before handing it on.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

KINDS = ("choice", "rating")
CHOICE, RATING = range(len(KINDS))


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
    """What an LLM's answer to a query was worth: effect in [0, 1], cost in USD, tokens; NaN where missing."""

    query: np.ndarray
    llm: np.ndarray
    effect: np.ndarray
    cost: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Who asked what, when, and which LLMs were on offer: `offer` is a row of `Interactions.offers`."""

    ids: np.ndarray
    user: np.ndarray
    query: np.ndarray
    offer: np.ndarray
    time: np.ndarray


@dataclasses.dataclass(frozen=True)
class Feedback:
    """What a user said on a decision: a choice (`value` is the share of it, ties divide 1) or a rating."""

    decision: np.ndarray
    kind: np.ndarray
    llm: np.ndarray
    value: np.ndarray


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Users, tasks, queries, LLMs and what happened between them.

    Attributes:
      offers: bool [candidate sets, llms], each set of LLMs on offer once.
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


def no_decisions() -> Decisions:
    """An empty table: a pool of LLMs and queries that nobody has used yet."""
    rows = np.zeros(0, np.int32)
    return Decisions(strings([]), rows, rows, rows, np.zeros(0))


def no_feedback() -> Feedback:
    """An empty table of feedback."""
    rows = np.zeros(0, np.int32)
    return Feedback(rows, np.zeros(0, np.int8), rows, np.zeros(0, np.float32))


def select_llms(data: Interactions, keep: np.ndarray) -> Interactions:
    """Only the LLMs where `keep` [llms] is true, with their outcomes, offers and feedback.

    A choice that fell on a dropped LLM leaves its decision without feedback; such decisions, and
    those with fewer than one candidate left, are dropped too.
    """
    new_row = np.cumsum(keep) - 1
    outcomes = take(data.outcomes, keep[data.outcomes.llm])
    outcomes = dataclasses.replace(outcomes, llm=new_row[outcomes.llm].astype(np.int32))
    feedback = take(data.feedback, keep[data.feedback.llm])
    feedback = dataclasses.replace(feedback, llm=new_row[feedback.llm].astype(np.int32))
    kept = data.replace(llms=take(data.llms, keep), outcomes=outcomes, offers=data.offers[:, keep], feedback=feedback)
    answered = np.zeros(len(data.decisions.user), bool)
    answered[feedback.decision] = True
    return select_decisions(kept, answered & kept.offers.any(1)[data.decisions.offer])


def select_decisions(data: Interactions, keep: np.ndarray) -> Interactions:
    """Only the decisions where `keep` [decisions] is true, with their feedback."""
    new_row = np.cumsum(keep) - 1
    feedback = take(data.feedback, keep[data.feedback.decision])
    feedback = dataclasses.replace(feedback, decision=new_row[feedback.decision].astype(np.int32))
    return data.replace(decisions=take(data.decisions, keep), feedback=feedback)


def validate(data: Interactions, table_names: dict[str, str] | None = None) -> Interactions:
    """Checks ids, ranges and references; returns its argument.

    Args:
      table_names: what to call a table in messages (a file name), by field name.

    Raises:
      ValueError: naming table, column and row (counted from 0), what was expected and found.
    """
    names = {f.name: f.name for f in dataclasses.fields(Interactions)} | (table_names or {})
    for field in ("users", "tasks", "queries", "llms"):
        _check_ids(getattr(data, field).ids, names[field])
    for field in ("queries", "llms"):
        if not len(getattr(data, field).ids):
            raise ValueError(f"table {names[field]}: expected at least one row, found none")
    _check(
        _in_unit(data.users.preference, True), names["users"], "preference", data.users.preference, "a weight in [0, 1]"
    )
    for column in ("input_price", "output_price"):
        price = getattr(data.llms, column)
        _check(_not_negative(price), names["llms"], column, price, "a price >= 0")
    outcomes = data.outcomes
    _check(_in_unit(outcomes.effect, True), names["outcomes"], "effect", outcomes.effect, "an effect in [0, 1]")
    for column in ("cost", "input_tokens", "output_tokens"):
        values = getattr(outcomes, column)
        _check(_not_negative(values), names["outcomes"], column, values, "a number >= 0")
    _check_pairs(data, names["outcomes"])
    _check_feedback(data, names["feedback"])
    return data


def _check(good: np.ndarray, table: str, column: str, values: np.ndarray, expected: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(f"table {table}, column {column}, row {row}: expected {expected}, found {values[row]!s}")


def _in_unit(values: np.ndarray, missing: bool) -> np.ndarray:
    return ((values >= 0) & (values <= 1)) | (missing & np.isnan(values))


def _not_negative(values: np.ndarray) -> np.ndarray:
    return ((values >= 0) & np.isfinite(values)) | np.isnan(values)


def _check_ids(ids: np.ndarray, table: str) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            raise ValueError(f"table {table}, column id, row {row}: expected an id, found an empty text")
        if name in seen:
            raise ValueError(
                f"table {table}, column id, row {row}: expected unique ids, found {name!r} again (row {seen[name]})"
            )
        seen[name] = row


def _check_pairs(data: Interactions, table: str) -> None:
    outcomes = data.outcomes
    pair = outcomes.query.astype(np.int64) * len(data.llms.ids) + outcomes.llm
    first = np.zeros(len(pair), bool)
    first[np.unique(pair, return_index=True)[1]] = True
    found = np.char.add(data.queries.ids[outcomes.query[~first]].astype(str), " ") if not first.all() else pair
    if not first.all():
        row = int(np.flatnonzero(~first)[0])
        raise ValueError(
            f"table {table}, column query_id and llm, row {row}: expected each pair once, "
            f"found {found[0]}{data.llms.ids[outcomes.llm[row]]} again"
        )


def _check_feedback(data: Interactions, table: str) -> None:
    feedback, decisions = data.feedback, data.decisions
    offered = data.offers[decisions.offer[feedback.decision], feedback.llm]
    _check(offered, table, "llm", data.llms.ids[feedback.llm], "an LLM on offer in its decision")
    _check(np.isfinite(feedback.value), table, "value", feedback.value, "a number")
    choice = feedback.kind == CHOICE
    _check(
        ~choice | ((feedback.value > 0) & (feedback.value <= 1)), table, "value", feedback.value, "a share in (0, 1]"
    )
