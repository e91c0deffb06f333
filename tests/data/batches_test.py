"""Batches are a pure function of (seed, step): every user once a pass, no matter who makes which rows."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import build_store
from prouter_jax.data.rewards import build_decisions


def _batches(data, users=4, history=32, seed=0, **changes):
    rows = np.arange(len(data.queries.ids))
    return dataclasses.replace(Batches(build_store(data), rows, users, history, seed), **changes)


def _whole(batches, step):
    return batches.rows(step, 0, batches.users)


def _said_by_user(batches, step):
    """Each row's decisions as {query: (offered, target)} over the pool."""
    batch, llms = _whole(batches, step), batches.store.offers.shape[1]
    for row in range(batches.users):
        found = {}
        for place in np.flatnonzero(batch["shown"][row]):
            offered, target = np.zeros(llms, bool), np.zeros(llms)
            on = batch["offered"][row, place] > 0
            offered[batch["llm"][row, place][on]] = True
            target[batch["llm"][row, place][on]] = batch["target"][row, place][on]
            assert not batch["target"][row, place][~on].any()
            found[int(batch["query"][row, place])] = (tuple(offered), tuple(target.round(5)))
        yield found


def _expected(data):
    arrays = build_decisions(data, np.arange(len(data.decisions.user)))
    by_user = [{} for _ in data.users.ids]
    for row, user in enumerate(arrays.user):
        told = (tuple(arrays.offered[row]), tuple(arrays.target[row].astype(float).round(5)))
        by_user[user][int(arrays.query[row])] = told
    return by_user


def test_a_pass_meets_every_user_once_with_all_it_said_and_then_nobody(dataset):
    data = dataset.world.interactions
    batches = _batches(data)
    assert batches.steps == 2
    for first in (0, 2, 4):
        met = [said for step in (first, first + 1) for said in _said_by_user(batches, step)]
        assert met[6:] == [{}, {}]
        for said in _expected(data):
            assert met[:6].count(said) == 1


def test_another_pass_and_another_seed_have_other_orders(dataset):
    data = dataset.world.interactions
    orders = [
        [tuple(said) for said in _said_by_user(_batches(data, 6, seed=seed), step)]
        for seed, step in ((0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("history", [32, 5])
def test_any_process_makes_the_rows_of_the_whole_batch(dataset, history):
    batches = _batches(dataset.world.interactions, history=history)
    for step in (0, 1, 7):
        whole = _whole(batches, step)
        for start, stop in ((0, 1), (1, 3), (3, 4)):
            for name, part in batches.rows(step, start, stop).items():
                np.testing.assert_array_equal(part, whole[name][start:stop])


def test_long_histories_are_drawn_evenly_and_without_repeats(dataset):
    data = dataset.world.interactions
    batches, expected = _batches(data, 6, history=5), _expected(data)
    counts: dict = {}
    for step in range(400):
        for said in _said_by_user(batches, step):
            assert len(said) == 5
            owner = next(user for user, all_said in enumerate(expected) if said.items() <= all_said.items())
            for query in said:
                counts[owner, query] = counts.get((owner, query), 0) + 1
    shares = [
        counts.get((user, query), 0) / 400 * len(said) / 5 for user, said in enumerate(expected) for query in said
    ]
    assert 0.6 < min(shares) < max(shares) < 1.4


def test_what_may_not_be_seen_is_not_there(dataset):
    data = dataset.world.interactions
    rows = np.where(np.arange(len(data.queries.ids)) % 2, np.arange(len(data.queries.ids)), -1)
    for said in _said_by_user(_batches(data, 6, world_query=rows), 0):
        assert said
        assert all(query % 2 for query in said)


def test_ratings_and_sides_come_with_their_candidates(two_users):
    batches = _batches(two_users, 2, history=4)
    batch = _whole(batches, 0)
    user = int(np.flatnonzero(batch["query"][:, 0] == 0)[0])
    llm = list(batch["llm"][user, 0])
    assert batch["rated"][user, 0].sum() == 1
    assert batch["rating"][user, 0][llm.index(0)] == 3
    other = 1 - user
    assert list(batch["llm"][other, 0][batch["shown_first"][other, 0] > 0]) == [2]
    assert not batch["shown_first"][user].any()
