"""Splits into training, validation and test parts: by queries, decisions, users, LLMs or time; and hidden LLMs."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from prouter_jax.config import NEW_LLMS, NEW_USERS, TIME, WARM, Data
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import CHOICE, Interactions
from prouter_jax.data.validation import row_error

TRAIN, VALIDATION, TEST = range(3)
UNUSED = -1
# Each draw has a random stream of its own, so that draws are independent; (seed, 0) would be the stream of seed.
_USERS, _LIMIT, _GIVEN, _HELD_OUT = 1, 2, 3, 4
_HELD_OUT_SHARE = 0.25  # of the training queries, for histories on unseen queries


@dataclasses.dataclass(frozen=True)
class Parts:
    """Sorted, disjoint rows of one table: int64 [rows of the part] each."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def numbers(self, num_rows: int) -> np.ndarray:
        """TRAIN, VALIDATION, TEST or UNUSED for each row of the table, int8 [rows]."""
        numbers = np.full(num_rows, UNUSED, np.int8)
        for number, rows in enumerate((self.train, self.validation, self.test)):
            numbers[rows] = number
        return numbers


@dataclasses.dataclass(frozen=True)
class Division:
    """The part of each decision.

    Attributes:
      part: int8 [decisions], TRAIN, VALIDATION, TEST or UNUSED.
      given: bool [decisions], decisions of new users or with new LLMs on offer that are in TRAIN by `config.given`.
      shown: bool [queries], queries whose outcomes of new LLMs are visible.
    """

    part: np.ndarray
    given: np.ndarray
    shown: np.ndarray

    def parts(self) -> Parts:
        """The rows of each part."""
        return Parts(*(np.flatnonzero(self.part == number) for number in (TRAIN, VALIDATION, TEST)))


def split_queries(data: Interactions, train_share: float, validation_share: float, seed: int) -> Parts:
    """Splits the queries at random within each task.

    Of a task's n shuffled queries, the first `int(train_share * n)` are for training, those up to
    `int((train_share + validation_share) * n)` for validation, the rest for the test.
    """
    names = np.append(data.tasks.ids, "").astype(str)[data.queries.task]
    groups = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
    return _divide(groups, train_share, validation_share, seed)


def held_out_queries(train: np.ndarray, seed: int) -> np.ndarray:
    """Draws the training queries that are held out of training for histories on unseen queries.

    Args:
      train: bool [queries], the training queries.

    Returns:
      bool [queries].
    """
    return draw_first(np.where(train, 0, -1), int(_HELD_OUT_SHARE * train.sum()), (seed, _HELD_OUT))


def split_decisions(data: Interactions, train_share: float, validation_share: float, seed: int) -> Parts:
    """Splits each user's decisions at random; a query may be in several parts."""
    order = np.argsort(data.decisions.user, kind="stable")
    starts = np.searchsorted(data.decisions.user[order], np.arange(1, len(data.users.ids)))
    return _divide(np.split(order, starts), train_share, validation_share, seed)


def split_users(num_users: int, train_share: float, validation_share: float, seed: int) -> Parts:
    """Splits the users at random."""
    return _divide([np.arange(num_users)], train_share, validation_share, (seed, _USERS))


def split_times(data: Interactions, train_share: float, validation_share: float) -> Parts:
    """Splits the decisions by time: the earliest share is for training, the latest for the test.

    Users and queries may be in several parts. Decisions at the same time are ordered by row.

    Raises:
      ValueError: if a decision has no time.
    """
    time = data.decisions.time
    if np.isnan(time).any():
        row = int(np.isnan(time).argmax())
        raise row_error("decisions", "time", row, "a time in every row for config.data.split='time'", None)
    order = np.argsort(time, kind="stable")
    first, second = _ends(len(order), train_share, validation_share)
    return Parts(*(np.sort(rows) for rows in np.split(order, [first, second])))


def divide(data: Interactions, queries: Parts | None, config: Data, new_llms: np.ndarray, seed: int) -> Division:
    """Assigns a part to each decision by `config.split`.

    cold_query: the part of its query. warm_query: at random for each user. warm_user: decisions of training users are
    TRAIN; of validation and test users, a random training share can be given and the others have the user's part.
    cold_user: the part of its query if the user has the same part, else UNUSED; also UNUSED on `held_out_queries` where
    histories are on unseen queries. cold_llm: the part of its query;
    `without_llms` removes new LLMs from decisions outside the test. cold_user_llm: cold_user with new LLMs.
    time: by `split_times`.

    `config.decisions_per_user` limits each user's training decisions. `config.given` = k adds decisions on training
    queries to TRAIN: k of each new user, or k with a new LLM on offer (cold_llm). They are drawn in a seeded order, so
    those of k are among those of k + 1. Simulated users decide on every query, so with new LLMs k queries that a new
    LLM answered are given, with the decisions of all users (cold_llm) or of new users.

    Args:
      data: all decisions.
      queries: from `split_queries`; None for the splits of `WARM` and for TIME.
      new_llms: bool [llms].
    """
    user, query = data.decisions.user, data.decisions.query
    shares = (config.train_share, config.validation_share, seed)
    if config.split == TIME:
        part = split_times(data, *shares[:2]).numbers(len(user))
    elif queries is None:
        part = split_decisions(data, *shares).numbers(len(user))
    else:
        part = queries.numbers(len(data.queries.ids))[query]
    may_give = (part == TRAIN) & ((data.offers & new_llms).sum(1) > 0)[data.decisions.offer]
    held_out = np.zeros(len(user), bool)
    if queries is not None and config.history == "unseen":
        held_out = held_out_queries(queries.numbers(len(data.queries.ids)) == TRAIN, seed)[query]
    if config.split in NEW_USERS:
        part_of_user = split_users(len(data.users.ids), *shares).numbers(len(data.users.ids))[user]
        may_give = (part == TRAIN) & (part_of_user != TRAIN)
        if config.split in WARM:
            part = np.where(may_give, UNUSED, part_of_user).astype(np.int8)
        else:
            may_give &= held_out | (config.history == "known")
            part = np.where((part == part_of_user) & ~held_out, part, UNUSED).astype(np.int8)
    if config.decisions_per_user:
        within = draw_first(np.where(part == TRAIN, user, -1), config.decisions_per_user, (seed, _LIMIT))
        may_give &= within | (part != TRAIN)
        part[(part == TRAIN) & ~within] = UNUSED
    given, shown = _give(data, queries, config, new_llms, may_give, seed)
    part[given] = TRAIN
    return Division(part, given, shown)


def draw_first(group: np.ndarray, number: int, seed: int | Sequence[int]) -> np.ndarray:
    """Draws `number` random members of each group; the draw for 3 is a subset of the draw for 4.

    Args:
      group: int [rows], -1 for rows that are never drawn.
      number: drawn rows of each group, at most.

    Returns:
      bool [rows], the drawn rows.
    """
    order = np.lexsort((np.random.default_rng(seed).random(len(group)), group))
    ordered = group[order]
    rank = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    drawn = np.zeros(len(group), bool)
    drawn[order] = (rank < number) & (ordered >= 0)
    return drawn


def find_llms(ids: np.ndarray, names: str) -> np.ndarray:
    """Finds LLMs by name.

    Args:
      ids: str [llms].
      names: names separated by commas.

    Returns:
      bool [llms], the named LLMs.

    Raises:
      ValueError: if a name is not in `ids`, or if all LLMs are named.
    """
    wanted = {name.strip() for name in names.split(",")} - {""}
    missing = sorted(wanted - set(ids))
    if missing:
        raise ValueError(f"config.data.new_llms: expected names of LLMs in the data, found {missing[0]!r}")
    if len(wanted) == len(ids):
        raise ValueError(f"config.data.new_llms: expected to leave some LLM known, found all {len(ids)} named")
    return np.isin(ids, sorted(wanted))


def hide_outcomes(data: Interactions, llms: np.ndarray, shown: np.ndarray | None = None) -> Interactions:
    """Removes the outcomes of `llms` (bool [llms]), except those on the queries `shown` (bool [queries])."""
    outcomes = data.outcomes
    seen = ~llms[outcomes.llm] if shown is None else ~llms[outcomes.llm] | shown[outcomes.query]
    return data.replace(outcomes=tables.take(outcomes, seen))


def hide_answers(data: Interactions, queries: np.ndarray) -> Interactions:
    """Removes the outcomes on `queries` (bool [queries])."""
    return data.replace(outcomes=tables.take(data.outcomes, ~queries[data.outcomes.query]))


def without_llms(data: Interactions, llms: np.ndarray) -> tuple[Interactions, np.ndarray]:
    """Removes LLMs from the candidates of recorded decisions; the table of LLMs stays.

    Dropped are decisions whose choice fell (also in part) on a removed LLM, choices with fewer than two candidates
    left, and decisions without feedback left: the user's choice among the others was not observed.

    Args:
      data: recorded decisions.
      llms: bool [llms], the removed ones.

    Returns:
      The data, and the row in `data` of each kept decision.
    """
    decisions, feedback, offers = data.decisions, data.feedback, data.offers & ~llms
    choice, gone = feedback.kind == CHOICE, llms[feedback.llm]
    alone = ((offers.sum(1) < data.offers.sum(1)) & (offers.sum(1) < 2))[decisions.offer]
    lost = np.zeros(len(decisions.user), bool)
    lost[feedback.decision[choice & (gone | alone[feedback.decision])]] = True
    has_feedback = np.zeros(len(lost), bool)
    has_feedback[feedback.decision[~gone]] = True
    first = np.where(llms[decisions.first], -1, decisions.first).astype(np.int32)
    kept = data.replace(
        offers=offers, decisions=dataclasses.replace(decisions, first=first), feedback=tables.take(feedback, ~gone)
    )
    return tables.select_decisions(kept, has_feedback & ~lost), np.flatnonzero(has_feedback & ~lost)


def rows_by_pair(data: Interactions, whole: Interactions) -> np.ndarray:
    """The row in `whole` of each decision of `data`, found by user and query, which must be unique pairs."""
    wide = len(whole.queries.ids)
    keys, all_keys = (t.decisions.user.astype(np.int64) * wide + t.decisions.query for t in (data, whole))
    order = np.argsort(all_keys)
    return order[np.searchsorted(all_keys, keys, sorter=order)]


def replace_decisions(
    whole: Interactions, touched: np.ndarray, other: Interactions, row: np.ndarray
) -> tuple[Interactions, np.ndarray]:
    """Replaces decisions, with their feedback, by those of other data. Decisions missing in the other data are dropped.

    Args:
      touched: bool [decisions of whole], the decisions to replace.
      other: decisions over the same users, queries and LLMs.
      row: int [decisions of other], their rows in `whole`.

    Returns:
      The data, and bool [decisions of whole], the kept decisions.
    """
    moved = touched[row]
    kept = ~touched
    kept[row[moved]] = True
    offer, first = whole.decisions.offer.copy(), whole.decisions.first.copy()
    offer[row[moved]] = len(whole.offers) + other.decisions.offer[moved]
    first[row[moved]] = other.decisions.first[moved]
    new = tables.take(other.feedback, moved[other.feedback.decision])
    new = dataclasses.replace(new, decision=row[new.decision].astype(np.int32))
    feedback = tables.concatenate([tables.take(whole.feedback, ~touched[whole.feedback.decision]), new])
    data = whole.replace(
        offers=np.concatenate([whole.offers, other.offers]),
        decisions=dataclasses.replace(whole.decisions, offer=offer, first=first),
        feedback=tables.take(feedback, np.argsort(feedback.decision, kind="stable")),
    )
    return tables.distinct_offers(tables.select_decisions(data, kept)), kept


def _give(data, queries, config, new_llms, may_give, seed) -> tuple[np.ndarray, np.ndarray]:
    """`given` and `shown` of a `Division`."""
    shown = np.zeros(len(data.queries.ids), bool)
    if config.split in NEW_LLMS and config.users == "multi_cost_efficiency":
        # with queries drawn for each new user, a few users would reveal all queries
        answered = np.zeros(len(shown), bool)
        answered[data.outcomes.query[new_llms[data.outcomes.llm]]] = True
        answered &= queries.numbers(len(shown)) == TRAIN
        shown = draw_first(np.where(answered, 0, -1), config.given, (seed, _GIVEN))
        return may_give & shown[data.decisions.query], shown
    group = data.decisions.user if config.split in NEW_USERS else np.zeros(len(may_give), int)
    given = draw_first(np.where(may_give, group, -1), config.given, (seed, _GIVEN))
    shown[data.decisions.query[given]] = True
    return given, shown


def _ends(rows: int, train_share: float, validation_share: float) -> tuple[int, int]:
    """Ends of train and validation. The sum of the shares is rounded, because 0.7 + 0.1 is less than 0.8."""
    return int(train_share * rows), int(round(train_share + validation_share, 9) * rows)


def _divide(groups: list[np.ndarray], train_share: float, validation_share: float, seed: int | Sequence[int]) -> Parts:
    rng = np.random.default_rng(seed)
    parts: tuple[list, list, list] = ([], [], [])
    for rows in groups:
        shuffled = rows[rng.permutation(len(rows))]
        ends = _ends(len(rows), train_share, validation_share)
        for part, some in zip(parts, np.split(shuffled, ends), strict=True):
            part.append(some)
    return Parts(*(np.sort(np.concatenate([*part, np.zeros(0, int)])).astype(np.int64) for part in parts))
