"""The only split: which queries, users and decisions are trained on, validated on, tested on; by chance or by time."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from prouter_jax.config import NEW_LLMS, NEW_USERS, TIME, WARM, Data
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import CHOICE, Interactions
from prouter_jax.data.validation import row_error

TRAIN, VALIDATION, TEST = range(3)
UNUSED = -1
# Each draw has its own stream, so that none moves another; not zero, for the stream of (seed, 0) is that of seed.
_USERS, _LIMIT, _GIVEN = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Parts:
    """Row numbers of one table, divided in three; disjoint, sorted."""

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
    """What becomes of the decisions.

    Attributes:
      part: int8 [decisions], TRAIN, VALIDATION, TEST or UNUSED.
      given: bool [decisions], those that are seen (TRAIN) as they were made: new users' and with new LLMs on offer.
      shown: bool [queries], where the new LLMs' outcomes are seen.
    """

    part: np.ndarray
    given: np.ndarray
    shown: np.ndarray

    def parts(self) -> Parts:
        return Parts(*(np.flatnonzero(self.part == number) for number in (TRAIN, VALIDATION, TEST)))


def split_queries(data: Interactions, train_share: float, validation_share: float, seed: int) -> Parts:
    """Divides the queries at random within each task, tasks in the order of their ids.

    The first `int(train_share * n)` of a task's shuffled queries train, those up to
    `int((train_share + validation_share) * n)` validate, the rest test.
    """
    names = np.append(data.tasks.ids, "").astype(str)[data.queries.task]
    groups = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
    return _divide(groups, train_share, validation_share, seed)


def split_decisions(data: Interactions, train_share: float, validation_share: float, seed: int) -> Parts:
    """Divides each user's decisions at random, users in their order: queries are shared by the parts."""
    order = np.argsort(data.decisions.user, kind="stable")
    starts = np.searchsorted(data.decisions.user[order], np.arange(1, len(data.users.ids)))
    return _divide(np.split(order, starts), train_share, validation_share, seed)


def split_users(num_users: int, train_share: float, validation_share: float, seed: int) -> Parts:
    """Divides the users at random into known ones, those to validate with and those to test with."""
    return _divide([np.arange(num_users)], train_share, validation_share, (seed, _USERS))


def split_times(data: Interactions, train_share: float, validation_share: float) -> Parts:
    """Divides the decisions by their times: the earliest share trains, the next validates, the latest is tested on.

    Users and queries may come again. Of decisions at the same time, those of earlier rows come first.

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
    """Divides the decisions by `config.split`.

    cold_query: by their queries. warm_query: each user's at random. warm_user: all of known users train; a new
    user's are divided at random, of the training part some are given, the rest is tested on. cold_user: known
    users' on training queries, validation users' on validation queries, test users' on test queries. cold_llm: by
    their queries; outside the test the new LLMs are not on offer (`data.splits.withhold` sees to it).
    cold_user_llm: both. time: by `split_times`.

    `config.decisions_per_user` draws from each known user's training decisions. `config.given` = k gives, of
    decisions on training queries that are drawn in a seeded order, so that those of k are among those of k + 1:
    k of each new user; k of all users with a new LLM on offer (cold_llm). With new LLMs and simulated users, who
    decide on every query, it gives k queries that a new LLM answered, and what all (cold_llm) or new users decided.

    Args:
      queries: `split_queries`, or None for the splits of `WARM` and by time.
      new_llms: bool [llms].
    """
    who, query = data.decisions.user, data.decisions.query
    shares = (config.train_share, config.validation_share, seed)
    if config.split == TIME:
        part = split_times(data, *shares[:2]).numbers(len(who))
    elif queries is None:
        part = split_decisions(data, *shares).numbers(len(who))
    else:
        part = queries.numbers(len(data.queries.ids))[query]
    may_give = (part == TRAIN) & ((data.offers & new_llms).sum(1) > 0)[data.decisions.offer]
    if config.split in NEW_USERS:
        part_of_user = split_users(len(data.users.ids), *shares).numbers(len(data.users.ids))[who]
        may_give = (part == TRAIN) & (part_of_user != TRAIN)
        if config.split in WARM:
            part = np.where(may_give, UNUSED, part_of_user).astype(np.int8)
        else:
            part = np.where(part == part_of_user, part, UNUSED).astype(np.int8)
    if config.decisions_per_user:
        within = draw_first(np.where(part == TRAIN, who, -1), config.decisions_per_user, (seed, _LIMIT))
        may_give &= within | (part != TRAIN)
        part[(part == TRAIN) & ~within] = UNUSED
    given, shown = _give(data, queries, config, new_llms, may_give, seed)
    part[given] = TRAIN
    return Division(part, given, shown)


def draw_first(group: np.ndarray, number: int, seed: int | Sequence[int]) -> np.ndarray:
    """The first `number` members of each group in a random order: bool [rows]; those of 3 are among those of 4.

    Args:
      group: int [rows], -1 for rows that are never drawn.
    """
    order = np.lexsort((np.random.default_rng(seed).random(len(group)), group))
    ordered = group[order]
    rank = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    drawn = np.zeros(len(group), bool)
    drawn[order] = (rank < number) & (ordered >= 0)
    return drawn


def _give(data, queries, config, new_llms, may_give, seed) -> tuple[np.ndarray, np.ndarray]:
    """`given` and `shown` of a `Division`."""
    shown = np.zeros(len(data.queries.ids), bool)
    if config.split in NEW_LLMS and config.users == "multi_cost_efficiency":
        # were each new user to bring queries of its own, few new users would show every query
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
    """Where train and validation end; the sum of the shares is rounded, for 0.7 + 0.1 is a little under 0.8."""
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


def find_llms(ids: np.ndarray, names: str) -> np.ndarray:
    """Where the LLMs of `ids` are among `names`, with commas between: bool [llms].

    Raises:
      ValueError: on a name that no LLM has, or if no other LLM is left.
    """
    wanted = {name.strip() for name in names.split(",")} - {""}
    unknown = sorted(wanted - set(ids))
    if unknown:
        raise ValueError(f"config.data.new_llms: expected names of LLMs in the data, found {unknown[0]!r}")
    if len(wanted) == len(ids):
        raise ValueError(f"config.data.new_llms: expected to leave some LLM known, found all {len(ids)} named")
    return np.isin(ids, sorted(wanted))


def hide_outcomes(data: Interactions, llms: np.ndarray, shown: np.ndarray | None = None) -> Interactions:
    """`data` without the outcomes of `llms` (bool [llms]), but for those on the queries `shown` (bool [queries])."""
    outcomes = data.outcomes
    seen = ~llms[outcomes.llm] if shown is None else ~llms[outcomes.llm] | shown[outcomes.query]
    return data.replace(outcomes=tables.take(outcomes, seen))


def without_llms(data: Interactions, llms: np.ndarray) -> tuple[Interactions, np.ndarray]:
    """The recorded decisions with `llms` (bool [llms]) not on offer; every LLM keeps its row.

    Dropped are decisions whose choice, or a share of it, fell on one of them, choices that are left without an
    alternative, and decisions left without feedback: what the user would have said otherwise is not known.

    Returns:
      The data, and the row in `data` of each decision that is left.
    """
    decisions, feedback, offers = data.decisions, data.feedback, data.offers & ~llms
    choice, gone = feedback.kind == CHOICE, llms[feedback.llm]
    alone = ((offers.sum(1) < data.offers.sum(1)) & (offers.sum(1) < 2))[decisions.offer]
    lost = np.zeros(len(decisions.user), bool)
    lost[feedback.decision[choice & (gone | alone[feedback.decision])]] = True
    told = np.zeros(len(lost), bool)
    told[feedback.decision[~gone]] = True
    first = np.where(llms[decisions.first], -1, decisions.first).astype(np.int32)
    kept = data.replace(
        offers=offers, decisions=dataclasses.replace(decisions, first=first), feedback=tables.take(feedback, ~gone)
    )
    return tables.select_decisions(kept, told & ~lost), np.flatnonzero(told & ~lost)


def rows_by_pair(data: Interactions, whole: Interactions) -> np.ndarray:
    """The row in `whole` of each decision of `data`, which its user and query tell alone."""
    wide = len(whole.queries.ids)
    keys, known = (t.decisions.user.astype(np.int64) * wide + t.decisions.query for t in (data, whole))
    order = np.argsort(known)
    return order[np.searchsorted(known, keys, sorter=order)]


def exchange(
    whole: Interactions, touched: np.ndarray, other: Interactions, row: np.ndarray
) -> tuple[Interactions, np.ndarray]:
    """`whole` with the decisions where `touched` (bool [decisions]) as they are in `other`.

    Args:
      other: decisions over the same users, queries and LLMs.
      row: of each decision of `other` in `whole`. A touched one that `other` lacks is dropped.

    Returns:
      The data, and which decisions of `whole` are left, bool [decisions].
    """
    moved = touched[row]
    kept = ~touched
    kept[row[moved]] = True
    offer, first = whole.decisions.offer.copy(), whole.decisions.first.copy()
    offer[row[moved]] = len(whole.offers) + other.decisions.offer[moved]
    first[row[moved]] = other.decisions.first[moved]
    told = tables.take(other.feedback, moved[other.feedback.decision])
    told = dataclasses.replace(told, decision=row[told.decision].astype(np.int32))
    feedback = tables.concatenate([tables.take(whole.feedback, ~touched[whole.feedback.decision]), told])
    data = whole.replace(
        offers=np.concatenate([whole.offers, other.offers]),
        decisions=dataclasses.replace(whole.decisions, offer=offer, first=first),
        feedback=tables.take(feedback, np.argsort(feedback.decision, kind="stable")),
    )
    return tables.distinct_offers(tables.select_decisions(data, kept)), kept
