"""The only random split: which queries and decisions are trained on, validated on, tested on."""

import dataclasses

import numpy as np

from prouter_jax.interactions import Interactions


@dataclasses.dataclass(frozen=True)
class Parts:
    """Row numbers of one table, divided in three; disjoint, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


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


def _divide(groups: list[np.ndarray], train_share: float, validation_share: float, seed: int) -> Parts:
    rng = np.random.default_rng(seed)
    parts: tuple[list, list, list] = ([], [], [])
    for rows in groups:
        shuffled = rows[rng.permutation(len(rows))]
        first = int(train_share * len(rows))
        # the sum is rounded: 0.7 + 0.1 is a little under 0.8
        second = int(round(train_share + validation_share, 9) * len(rows))
        for part, some in zip(parts, np.split(shuffled, [first, second]), strict=True):
            part.append(some)
    return Parts(*(np.sort(np.concatenate([*part, np.zeros(0, int)])).astype(np.int64) for part in parts))
