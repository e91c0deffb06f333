"""Histories as flat columns hold what the tables hold, in memory and on disk."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.history_store import HistoryStore, StoreWriter, build_store, open_store
from prouter_jax.data.interactions import RATING
from prouter_jax.data.rewards import build_decisions


def _told(store: HistoryStore, user: int) -> list[tuple]:
    """The decisions of a user, as plain values in an order of their own."""
    found = []
    for row in range(store.users[user], store.users[user + 1]):
        said = slice(store.feedback_start[row], store.feedback_start[row + 1])
        told = sorted(
            zip(store.feedback_kind[said], store.feedback_llm[said], store.feedback_value[said].round(5), strict=True)
        )
        offered = tuple(np.flatnonzero(store.offers[store.offer[row]]))
        found.append((int(store.query[row]), offered, int(store.first[row]), told))
    return sorted(found)


def test_every_decision_is_there_with_ties_ratings_and_sides(two_users):
    store = build_store(two_users)
    arrays = build_decisions(two_users, np.arange(2))
    assert (store.num_users, store.has_ratings, store.has_sides) == (2, True, True)
    for user in (0, 1):
        ((query, offered, first, told),) = _told(store, user)
        row = int(np.flatnonzero(arrays.user == user)[0])
        assert (query, first) == (arrays.query[row], arrays.first[row])
        assert offered == tuple(np.flatnonzero(arrays.offered[row]))
        chosen = {llm: value for kind, llm, value in told if kind != RATING}
        assert chosen == {llm: share for llm, share in enumerate(arrays.target[row]) if share}
        rated = {llm: value for kind, llm, value in told if kind == RATING}
        assert rated == {llm: x for llm, x in enumerate(arrays.rating[row]) if not np.isnan(x)}


def test_a_user_without_decisions_has_none(dataset):
    data = dataset.world.interactions
    users = dataclasses.replace(
        data.users, ids=np.append(data.users.ids, "new"), preference=np.append(data.users.preference, np.nan)
    )
    store = build_store(data.replace(users=users))
    assert store.num_users == 7
    assert store.users[7] == store.users[6]
    assert not _told(store, 6)
    assert not store.has_ratings


def _part(store, users):
    """Some users of a store, with the candidate sets in another order."""
    rows = slice(store.users[users.start], store.users[users.stop])
    said = slice(store.feedback_start[rows.start], store.feedback_start[rows.stop])
    last = len(store.offers) - 1
    return HistoryStore(
        users=store.users[users.start : users.stop + 1] - rows.start,
        query=store.query[rows],
        offer=last - store.offer[rows],
        first=store.first[rows],
        feedback_start=store.feedback_start[rows.start : rows.stop + 1] - said.start,
        feedback_llm=store.feedback_llm[said],
        feedback_value=store.feedback_value[said],
        feedback_kind=store.feedback_kind[said],
        offers=store.offers[::-1],
    )


@pytest.fixture
def written(dataset, tmp_path):
    """A store in memory, and the folder where it was written in two parts."""
    store = build_store(dataset.world.interactions)
    with StoreWriter(tmp_path / "store") as writer:
        for users in (slice(0, 2), slice(2, 6)):
            writer.append(_part(store, users))
    return store, tmp_path / "store"


def test_what_was_written_in_parts_is_mapped_as_a_whole(written):
    store, folder = written
    found = open_store(folder)
    assert isinstance(found.query, np.memmap)
    assert found.num_users == store.num_users
    for user in range(store.num_users):
        assert _told(found, user) == _told(store, user)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_folder_is_refused(written, damage):
    path = written[1] / "query.bin"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-4])
    with pytest.raises(ValueError, match=r"expected histories as they were written, found query\.bin"):
        open_store(written[1])


def test_a_writer_that_fails_leaves_nothing_that_can_be_opened(dataset, tmp_path):
    store = build_store(dataset.world.interactions)

    def fail():
        with StoreWriter(tmp_path / "store") as writer:
            writer.append(store)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(ValueError, match="manifest"):
        open_store(tmp_path / "store")
