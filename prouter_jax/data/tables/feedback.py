"""Reads decisions and feedback from tables in the short forms and in the long form.

Short forms: the tables choices, votes, ratings and thumbs, one row for each LLM (each pair of LLMs for votes).
Long form: the tables decisions, feedback and offers, as `read_write.write_tables` writes them.

Rows of the short forms that repeat another in every column are read once, and a line on stderr counts them; of votes
only those with a time, for people vote on a pair again. Choices of a user on a query at another time are another
decision, and so is a second rating or thumb of the same answer at another time.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int, Shaped

from prouter_jax.data import interactions
from prouter_jax.data.distinct import distinct_sets, first_repeat, first_seen, sorted_distinct
from prouter_jax.data.interactions import CHOICE, KINDS, RATING, THUMB, Decisions, Feedback
from prouter_jax.data.tables.repeats import without_repeats
from prouter_jax.data.tables.table import Allowed, AllowedIds, Table


@dataclasses.dataclass(frozen=True)
class DecisionTables:
    """The decisions and feedback of one or several tables.

    Attributes:
      offers: the distinct sets of candidates, to which `decisions.offer` refers.
      decisions: the decisions.
      feedback: the feedback; its rows refer to `decisions`.
    """

    offers: Bool[np.ndarray, "sets llms"]
    decisions: Decisions
    feedback: Feedback


def read_choices(table: Table, allowed: Allowed) -> DecisionTables:
    """Reads choices: each row is the LLM that a user prefers for a query; several rows of both and a time are a tie.

    Args:
      table: choices, of the columns in `schema.SCHEMAS`; without candidates the user chose among all LLMs.
      allowed: the ids that user_id, query_id and llm may contain, and under "decision_id" the ids in use.

    Raises:
      ValueError: naming column and row.
    """
    table = without_repeats(table)
    rows = _group(table, allowed, sorted_distinct(np.nan_to_num(table.floats("time"), nan=-np.inf))[1])
    member = np.ones((len(rows.first), len(allowed["llm"].ids)), bool)
    share = 1 / np.bincount(rows.group)[rows.group]
    return _grouped_decisions(table, allowed, rows, member, "choice", CHOICE, share)


def read_ratings(table: Table, allowed: Allowed) -> DecisionTables:
    """Reads ratings: each row is a number for one LLM; the rows of one user and query are a decision.

    Its time is that of the last rating.

    Args, Raises: as `read_choices`; without candidates the rated LLMs are the candidates.
    """
    table = without_repeats(table)
    rows = _group(table, allowed, _number_of_times(table, allowed))
    member = np.zeros((len(rows.first), len(allowed["llm"].ids)), bool)
    member[rows.group, rows.llm] = True
    return _grouped_decisions(table, allowed, rows, member, "rating", RATING, table.floats("rating"))


def read_thumbs(table: Table, allowed: Allowed) -> DecisionTables:
    """Reads thumbs: each row is 1 (up) or 0 (down) for one LLM.

    Args, Raises: as `read_choices`; without candidates all LLMs were offered.
    """
    table = without_repeats(table)
    rows = _group(table, allowed, _number_of_times(table, allowed))
    value = table.floats("thumb")
    bad = (value != 0) & (value != 1)
    if bad.any():
        raise table.error("thumb", int(bad.argmax()), "1 (up) or 0 (down)", value[bad.argmax()])
    member = np.ones((len(rows.first), len(allowed["llm"].ids)), bool)
    return _grouped_decisions(table, allowed, rows, member, "thumb", THUMB, value)


def read_votes(table: Table, allowed: Allowed) -> DecisionTables:
    """Reads votes: each row is a decision between llm_a and llm_b; a tie is half a choice of each.

    The column first names the LLM that was shown first; without it that is llm_a.

    Args, Raises: as `read_choices`.
    """
    table = without_repeats(table, ~np.isnan(table.floats("time")))
    user, query = (table.find_ids(name, allowed[name]) for name in ("user_id", "query_id"))
    pair = np.stack([table.find_ids(name, allowed["llm"]) for name in ("llm_a", "llm_b")], 1)
    if (pair[:, 0] == pair[:, 1]).any():
        row = int((pair[:, 0] == pair[:, 1]).argmax())
        raise table.error("llm_b", row, "another LLM than llm_a", allowed["llm"].ids[pair[row, 1]])
    winner = table.find_ids("winner", AllowedIds(interactions.strings(("a", "b", "tie")), "one of a, b, tie"))
    member = np.zeros((table.num_rows, len(allowed["llm"].ids)), bool)
    member[np.arange(table.num_rows)[:, None], pair] = True
    chosen = np.stack([winner != 1, winner != 0], 1)
    decision, side = np.nonzero(chosen)
    feedback = _feedback(decision, np.full(len(decision), CHOICE), pair[decision, side], 1 / chosen.sum(1)[decision])
    shown = _shown_first(table, allowed["llm"], member, np.arange(table.num_rows))
    first = np.where(shown < 0, pair[:, 0], shown)
    return _decisions("vote", allowed, user, query, member, table.floats("time"), first, feedback)


SHORT_FORMS: dict[str, Callable[[Table, Allowed], DecisionTables]] = {  # by table name
    "choices": read_choices,
    "votes": read_votes,
    "ratings": read_ratings,
    "thumbs": read_thumbs,
}


def read_decisions(decisions: Table, feedback: Table | None, offers: Table | None, allowed: Allowed) -> DecisionTables:
    """Reads the long form.

    Args:
      decisions: each row is a decision, with its candidates in a list or as the number of a set in `offers`.
      feedback: each row is one value on one LLM of a decision; None for no feedback.
      offers: each row is an LLM of a set of candidates; None if `decisions` lists candidates.
      allowed: the ids that user_id, query_id and llm may contain.

    Raises:
      ValueError: naming column and row.
    """
    user, query = (decisions.find_ids(name, allowed[name]) for name in ("user_id", "query_id"))
    llms = allowed["llm"]
    find = _numbered_sets if "offer" in decisions.texts else _listed_sets
    sets, offer = find(decisions, offers, llms)
    ids = decisions.strings("decision_id")
    first = _shown_first(decisions, llms, sets, offer)
    table = Decisions(ids, user, query, offer, decisions.floats("time"), first)
    if feedback is None:
        return DecisionTables(sets, table, interactions.no_feedback())
    decision = feedback.find_ids("decision_id", AllowedIds(ids, f"a decision_id of {decisions.name}"))
    kind = feedback.find_ids("kind", AllowedIds(interactions.strings(KINDS), f"one of {', '.join(KINDS)}"))
    llm, value = feedback.find_ids("llm", llms), feedback.floats("value")
    return DecisionTables(sets, table, _feedback(decision, kind, llm, value))


def concatenate(parts: list[DecisionTables], num_llms: int) -> DecisionTables:
    """The decisions of all parts in order, each distinct set of candidates once."""
    empty = DecisionTables(np.zeros((0, num_llms), bool), interactions.no_decisions(), interactions.no_feedback())
    parts = [empty, *parts]
    first_offer = np.cumsum([0, *(len(part.offers) for part in parts)])
    first_decision = np.cumsum([0, *(len(part.decisions.user) for part in parts)])
    sets, set_of = distinct_sets(np.concatenate([part.offers for part in parts]))
    decisions = [
        dataclasses.replace(part.decisions, offer=set_of[start + part.decisions.offer])
        for start, part in zip(first_offer, parts, strict=False)
    ]
    feedback = [
        dataclasses.replace(part.feedback, decision=(start + part.feedback.decision).astype(np.int32))
        for start, part in zip(first_decision, parts, strict=False)
    ]
    return DecisionTables(sets, interactions.concatenate(decisions), interactions.concatenate(feedback))


def unused_ids(name: str, number: int, taken: Shaped[np.ndarray, " taken"]) -> Shaped[np.ndarray, " number"]:
    """Generates ids, `name` and a count, prefixed with "_" until none of them is in `taken`."""
    ids, others = [f"{name}{count}" for count in range(number)], set(taken)
    while not others.isdisjoint(ids):
        ids = [f"_{id_}" for id_ in ids]
    return interactions.strings(ids)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of a short form: `group` is the decision of each row, `first` the first row of each decision."""

    user: np.ndarray
    query: np.ndarray
    llm: np.ndarray
    group: np.ndarray
    first: np.ndarray


def _number_of_times(table: Table, allowed: Allowed) -> Int[np.ndarray, " rows"]:
    """How many earlier times the user of each row has given feedback on the same answer."""
    user, query, llm = (table.find_ids(name, allowed[name]).astype(np.int64) for name in ("user_id", "query_id", "llm"))
    answer = first_seen((user * len(allowed["query_id"].ids) + query) * len(allowed["llm"].ids) + llm)[0]
    time = np.nan_to_num(table.floats("time"), nan=np.finfo(np.float64).max)
    order = np.lexsort((time, answer))
    new_answer = np.diff(answer[order], prepend=-1) != 0
    later = np.cumsum(new_answer | (np.diff(time[order], prepend=-np.inf) != 0))
    times = np.empty(len(order), np.int64)
    times[order] = later - later[np.maximum.accumulate(np.where(new_answer, np.arange(len(order)), 0))]
    return times


def _group(table: Table, allowed: Allowed, number: Int[np.ndarray, " rows"]) -> _Rows:
    """Groups rows by user, query and the number of their decision; an error if a group names an LLM twice."""
    user, query, llm = (table.find_ids(name, allowed[name]) for name in ("user_id", "query_id", "llm"))
    asked = first_seen(user.astype(np.int64) * len(allowed["query_id"].ids) + query)[0].astype(np.int64)
    group, first = first_seen(asked * (int(number.max(initial=0)) + 1) + number)
    row = first_repeat(group.astype(np.int64) * len(allowed["llm"].ids) + llm)
    if row is not None:
        raise table.error("llm", row, "each LLM once a user, query and time", allowed["llm"].ids[llm[row]])
    return _Rows(user, query, llm, group, first)


def _grouped_decisions(
    table: Table, allowed: Allowed, rows: _Rows, member: np.ndarray, name: str, kind: int, value: np.ndarray
) -> DecisionTables:
    """The decisions of grouped rows. `member`, bool [decisions, llms], has the candidates of those that list none."""
    if "candidates" in table.texts:
        listed = _candidates(table, allowed["llm"])
        _check_same(table, rows, "candidates", (listed == listed[rows.first[rows.group]]).all(1))
        given = listed[rows.first].any(1)
        member[given] = listed[rows.first][given]
        _check_offered(table, "llm", member[rows.group, rows.llm], rows.llm, allowed["llm"])
    latest = np.full(len(rows.first), -np.inf)
    np.maximum.at(latest, rows.group, np.nan_to_num(table.floats("time"), nan=-np.inf))
    time = np.where(np.isinf(latest), np.nan, latest)
    shown = _shown_first(table, allowed["llm"], member, rows.group)
    _check_same(table, rows, "first", shown == shown[rows.first[rows.group]])
    feedback = _feedback(rows.group, np.full(table.num_rows, kind), rows.llm, value)
    user, query, shown = (column[rows.first] for column in (rows.user, rows.query, shown))
    return _decisions(name, allowed, user, query, member, time, shown, feedback)


def _check_same(table: Table, rows: _Rows, column: str, same: np.ndarray) -> None:
    """Raises an error if a row differs from the first row of its decision."""
    if not same.all():
        row = int((~same).argmax())
        expected = f"what row {rows.first[rows.group[row]]} of the same user and query has"
        found = (
            "|".join(sorted(table.texts_in_row(column, row))) if column in table.texts else table.numbers[column][row]
        )
        raise table.error(column, row, expected, found or None)


def _check_offered(table: Table, column: str, offered: np.ndarray, llm: np.ndarray, llms: AllowedIds) -> None:
    if not offered.all():
        row = int(offered.argmin())
        raise table.error(column, row, "one of the candidates", llms.ids[llm[row]])


def _shown_first(table: Table, llms: AllowedIds, sets: np.ndarray, set_of: np.ndarray) -> np.ndarray:
    """int32 [rows], the LLM in the column first, -1 for none; the candidates of row i are `sets[set_of[i]]`."""
    if "first" not in table.texts:
        return np.full(table.num_rows, -1, np.int32)
    first = table.find_ids("first", llms)
    _check_offered(table, "first", sets[set_of, first] | (first < 0), first, llms)
    return first


def _numbered_sets(decisions: Table, offers: Table | None, llms: AllowedIds) -> tuple[np.ndarray, np.ndarray]:
    """Sets of candidates from the table offers, bool [sets, llms], and the set of each decision."""
    if offers is None or "candidates" in decisions.texts:
        raise ValueError(f"table {decisions.name}, column offer: expected a table offers and no column candidates")
    numbers = offers.texts["offer"]
    names = interactions.strings(numbers.values.to_pylist())
    member = np.zeros((len(names), len(llms.ids)), bool)
    member[numbers.codes, offers.find_ids("llm", llms)] = True
    return member, decisions.find_ids("offer", AllowedIds(names, f"an offer of {offers.name}"))


def _listed_sets(decisions: Table, _, llms: AllowedIds) -> tuple[np.ndarray, np.ndarray]:
    """Sets of candidates from the column candidates, as `_numbered_sets`."""
    if "candidates" not in decisions.texts:
        raise ValueError(f"table {decisions.name}, column candidates: expected this column or offer, found none")
    member = _candidates(decisions, llms)
    if not member.any(1).all():
        raise decisions.error("candidates", member.any(1).argmin(), "a list of texts", None)
    return distinct_sets(member)


def _candidates(table: Table, llms: AllowedIds) -> np.ndarray:
    """bool [rows, llms], the candidates that each row lists, none where the cell is missing."""
    member = np.zeros((table.num_rows, len(llms.ids)), bool)
    row, llm = table.find_lists("candidates", llms)
    member[row[llm >= 0], llm[llm >= 0]] = True
    return member


def _decisions(
    name: str,
    allowed: Allowed,
    user: np.ndarray,
    query: np.ndarray,
    member: np.ndarray,
    time: np.ndarray,
    first: np.ndarray,
    feedback: Feedback,
) -> DecisionTables:
    sets, offer = distinct_sets(member)
    ids = unused_ids(name, len(user), allowed["decision_id"].ids)
    return DecisionTables(sets, Decisions(ids, user, query, offer, time, first), feedback)


def _feedback(decision: np.ndarray, kind: np.ndarray, llm: np.ndarray, value: np.ndarray) -> Feedback:
    rows, llms = decision.astype(np.int32), llm.astype(np.int32)
    with np.errstate(over="ignore"):  # a rating beyond the range of float32 becomes infinite, which `validate` refuses
        return Feedback(rows, kind.astype(np.int8), llms, value.astype(np.float32))
