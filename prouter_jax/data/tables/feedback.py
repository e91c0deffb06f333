"""Feedback as one `Record`: its short forms (choices, votes, ratings, thumbs), its long form (decisions, feedback)."""

import dataclasses

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.interactions import (
    CHOICE,
    KINDS,
    RATING,
    THUMB,
    Decisions,
    Feedback,
    distinct_sets,
    first_repeat,
    first_seen,
)
from prouter_jax.data.tables.columns import Known, Table


@dataclasses.dataclass(frozen=True)
class Record:
    """What users said: `offers` bool [candidate sets, llms], the decisions and the feedback on them."""

    offers: np.ndarray
    decisions: Decisions
    feedback: Feedback


def choices(table: Table, known: dict[str, Known]) -> Record:
    """Each row names an LLM that a user liked best; several for one user and query are a tie.

    Args:
      known: what user_id, query_id and llm may refer to, and each decision_id that is taken.
    """
    rows = _group(table, known)
    member = np.ones((len(rows.first), len(known["llm"].ids)), bool)
    share = 1 / np.bincount(rows.group)[rows.group]
    return _grouped_record(table, known, rows, member, "choice", CHOICE, share)


def ratings(table: Table, known: dict[str, Known]) -> Record:
    """Each row is a number for one LLM's answer; those of one user and query are one decision."""
    rows = _group(table, known)
    member = np.zeros((len(rows.first), len(known["llm"].ids)), bool)
    member[rows.group, rows.llm] = True
    return _grouped_record(table, known, rows, member, "rating", RATING, table.floats("rating"))


def thumbs(table: Table, known: dict[str, Known]) -> Record:
    """Each row is a thumb, 1 (up) or 0 (down), for one LLM's answer; without candidates all LLMs were on offer."""
    rows = _group(table, known)
    value = table.floats("thumb")
    bad = (value != 0) & (value != 1)
    if bad.any():
        raise table.error("thumb", int(bad.argmax()), "1 (up) or 0 (down)", value[bad.argmax()])
    member = np.ones((len(rows.first), len(known["llm"].ids)), bool)
    return _grouped_record(table, known, rows, member, "thumb", THUMB, value)


def votes(table: Table, known: dict[str, Known]) -> Record:
    """Each row is a decision between llm_a, shown first, and llm_b; a tie is half a choice of both."""
    user, query = table.rows("user_id", known["user_id"]), table.rows("query_id", known["query_id"])
    pair = np.stack([table.rows("llm_a", known["llm"]), table.rows("llm_b", known["llm"])], 1)
    if (pair[:, 0] == pair[:, 1]).any():
        row = int((pair[:, 0] == pair[:, 1]).argmax())
        raise table.error("llm_b", row, "another LLM than llm_a", known["llm"].ids[pair[row, 1]])
    winner = table.rows("winner", Known(interactions.strings(("a", "b", "tie")), "one of a, b, tie"))
    number = np.arange(table.num_rows)
    member = np.zeros((table.num_rows, len(known["llm"].ids)), bool)
    member[number[:, None], pair] = True
    liked = np.stack([winner != 1, winner != 0], 1)
    decision, side = np.nonzero(liked)
    value = 1 / liked.sum(1)[decision]
    feedback = _feedback(decision, np.full(len(decision), CHOICE), pair[decision, side], value)
    return _record("vote", known, user, query, member, table.floats("time"), pair[:, 0], feedback)


def long_form(decisions: Table, feedback: Table | None, offers: Table | None, known: dict[str, Known]) -> Record:
    """Decisions with their candidates, listed or as a number of the table `offers`, and the feedback on them."""
    user, query = (decisions.rows(name, known[name]) for name in ("user_id", "query_id"))
    llms = known["llm"]
    sets, offer = _numbered(decisions, offers, llms) if "offer" in decisions.texts else _candidates(decisions, llms)
    ids = decisions.strings("decision_id")
    first = _shown_first(decisions, llms, sets, offer)
    table = Decisions(ids, user, query, offer, decisions.floats("time"), first)
    if feedback is None:
        return Record(sets, table, interactions.no_feedback())
    decision = feedback.rows("decision_id", Known(ids, f"a decision_id of {decisions.name}"))
    kind = feedback.rows("kind", Known(interactions.strings(KINDS), f"one of {', '.join(KINDS)}"))
    return Record(sets, table, _feedback(decision, kind, feedback.rows("llm", llms), feedback.floats("value")))


def join(records: list[Record], num_llms: int) -> Record:
    """One record after the other; each set of candidates once."""
    empty = Record(np.zeros((0, num_llms), bool), interactions.no_decisions(), interactions.no_feedback())
    records = [empty, *records]
    first_offer = np.cumsum([0, *(len(record.offers) for record in records)])
    first_decision = np.cumsum([0, *(len(record.decisions.user) for record in records)])
    sets, place = distinct_sets(np.concatenate([record.offers for record in records]))
    decisions = [
        dataclasses.replace(record.decisions, offer=place[start + record.decisions.offer])
        for start, record in zip(first_offer, records, strict=False)
    ]
    feedback = [
        dataclasses.replace(record.feedback, decision=(start + record.feedback.decision).astype(np.int32))
        for start, record in zip(first_decision, records, strict=False)
    ]
    return Record(sets, interactions.concatenate(decisions), interactions.concatenate(feedback))


def unused_ids(name: str, number: int, taken: np.ndarray) -> np.ndarray:
    """`number` made-up ids, none of them in `taken`: `name` and a count, marked where that would clash."""
    ids, others = [f"{name}{count}" for count in range(number)], set(taken)
    while not others.isdisjoint(ids):
        ids = [f"_{id_}" for id_ in ids]
    return interactions.strings(ids)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of choices or ratings: `group` [rows] is the row's decision, `first` [decisions] its first row."""

    user: np.ndarray
    query: np.ndarray
    llm: np.ndarray
    group: np.ndarray
    first: np.ndarray


def _group(table: Table, known: dict[str, Known]) -> _Rows:
    user, query, llm = (table.rows(name, known[name]) for name in ("user_id", "query_id", "llm"))
    group, first = first_seen(user.astype(np.int64) * len(known["query_id"].ids) + query)
    row = first_repeat(group.astype(np.int64) * len(known["llm"].ids) + llm)
    if row is not None:
        raise table.error("llm", row, "each LLM once a user and query", known["llm"].ids[llm[row]])
    return _Rows(user, query, llm, group, first)


def _grouped_record(
    table: Table, known: dict[str, Known], rows: _Rows, member: np.ndarray, name: str, kind: int, value: np.ndarray
) -> Record:
    """The record of rows that belong together; `member` is who was on offer where no candidates are listed."""
    if "candidates" in table.texts:
        listed = _listed(table, known["llm"])
        _check_same(table, rows, "candidates", (listed == listed[rows.first[rows.group]]).all(1))
        given = listed[rows.first].any(1)
        member[given] = listed[rows.first][given]
        _check_offered(table, rows, member, known["llm"])
    time = table.floats("time")
    earlier = time[rows.first[rows.group]]
    _check_same(table, rows, "time", (time == earlier) | (np.isnan(time) & np.isnan(earlier)))
    shown = _shown_first(table, known["llm"], member, rows.group)
    _check_same(table, rows, "first", shown == shown[rows.first[rows.group]])
    feedback = _feedback(rows.group, np.full(table.num_rows, kind), rows.llm, value)
    user, query, time, shown = (column[rows.first] for column in (rows.user, rows.query, time, shown))
    return _record(name, known, user, query, member, time, shown, feedback)


def _check_same(table: Table, rows: _Rows, column: str, same: np.ndarray) -> None:
    if not same.all():
        row = int((~same).argmax())
        expected = f"what row {rows.first[rows.group[row]]} of the same user and query has"
        found = "|".join(sorted(table.listed(column, row))) if column in table.texts else table.numbers[column][row]
        raise table.error(column, row, expected, found or None)


def _check_offered(table: Table, rows: _Rows, member: np.ndarray, llms: Known) -> None:
    offered = member[rows.group, rows.llm]
    if not offered.all():
        row = int((~offered).argmax())
        raise table.error("llm", row, "one of the candidates", llms.ids[rows.llm[row]])


def _shown_first(table: Table, llms: Known, sets: np.ndarray, place: np.ndarray) -> np.ndarray:
    """int32 [rows], the LLM in the column first, -1 for none; row i's candidates are `sets[place[i]]`."""
    if "first" not in table.texts:
        return np.full(table.num_rows, -1, np.int32)
    first = table.rows("first", llms)
    offered = sets[place, first] | (first < 0)
    if not offered.all():
        row = int(offered.argmin())
        raise table.error("first", row, "one of the candidates", llms.ids[first[row]])
    return first


def _numbered(decisions: Table, offers: Table | None, llms: Known) -> tuple[np.ndarray, np.ndarray]:
    """The sets of the table `offers` and each decision's place among them."""
    if offers is None or "candidates" in decisions.texts:
        raise ValueError(f"table {decisions.name}, column offer: expected a table offers and no column candidates")
    numbers = offers.texts["offer"]
    names = interactions.strings(numbers.values.to_pylist())
    member = np.zeros((len(names), len(llms.ids)), bool)
    member[numbers.codes, offers.rows("llm", llms)] = True
    return member, decisions.rows("offer", Known(names, f"an offer of {offers.name}"))


def _candidates(decisions: Table, llms: Known) -> tuple[np.ndarray, np.ndarray]:
    """The sets that decisions list and each decision's place among them."""
    if "candidates" not in decisions.texts:
        raise ValueError(f"table {decisions.name}, column candidates: expected this column or offer, found none")
    member = _listed(decisions, llms)
    if not member.any(1).all():
        raise decisions.error("candidates", member.any(1).argmin(), "a list of texts", None)
    return distinct_sets(member)


def _listed(table: Table, llms: Known) -> np.ndarray:
    """bool [rows, llms]: the candidates a row lists, none where it lists none."""
    member = np.zeros((table.num_rows, len(llms.ids)), bool)
    member[table.texts["candidates"].row, table.rows("candidates", llms)] = True
    return member


def _record(
    name: str,
    known: dict[str, Known],
    user: np.ndarray,
    query: np.ndarray,
    member: np.ndarray,
    time: np.ndarray,
    first: np.ndarray,
    feedback: Feedback,
) -> Record:
    sets, offer = distinct_sets(member)
    ids = unused_ids(name, len(user), known["decision_id"].ids)
    return Record(sets, Decisions(ids, user, query, offer, time, first), feedback)


def _feedback(decision: np.ndarray, kind: np.ndarray, llm: np.ndarray, value: np.ndarray) -> Feedback:
    rows, llms = decision.astype(np.int32), llm.astype(np.int32)
    with np.errstate(over="ignore"):  # a rating that float32 cannot hold becomes infinite, which `validate` refuses
        return Feedback(rows, kind.astype(np.int8), llms, value.astype(np.float32))
