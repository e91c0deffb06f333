"""Splits: every row once, the shares of every task, the documented recipe and nothing else."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.config import Data, Embedded
from prouter_jax.data.interactions import Decisions, Interactions, Queries, strings
from prouter_jax.data.splits import (
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    Parts,
    divide,
    draw_first,
    split_decisions,
    split_queries,
    split_times,
    split_users,
)
from prouter_jax.data.synthetic.benchmark import build_embedded

SIZES = [1, 2, 3, 9, 10, 11, 30, 100]
SHARES = [(0.7, 0.1), (0.5, 0.25), (0.6, 0.3), (0.7, 0.0), (0.9, 0.05)]


def _with_tasks(sizes: list[int], untasked: int = 0) -> Interactions:
    """Queries of tasks of the given sizes in a random order, and some without a task."""
    data = build_embedded(Embedded(num_tasks=len(sizes), num_queries=len(sizes), num_users=1, decisions_per_user=1))
    task = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(untasked, -1)])
    task = np.random.default_rng(5).permutation(task)
    names = strings([f"q{i}" for i in range(len(task))])
    return data.replace(queries=Queries(names, names, task))


def _with_deciders(counts: list[int]) -> Interactions:
    data = build_embedded(Embedded(num_users=len(counts), num_queries=20))
    user = np.random.default_rng(6).permutation(np.repeat(np.arange(len(counts)), counts))
    zeros = np.zeros(len(user), int)
    names = strings([f"d{i}" for i in range(len(user))])
    return data.replace(decisions=Decisions(names, user, zeros, zeros, zeros.astype(float), zeros - 1))


def _all(parts: Parts) -> np.ndarray:
    return np.concatenate([parts.train, parts.validation, parts.test])


@pytest.mark.parametrize("shares", SHARES)
def test_every_query_is_in_exactly_one_part(shares):
    data = _with_tasks(SIZES, untasked=7)
    parts = split_queries(data, *shares, seed=3)
    assert sorted(_all(parts)) == list(range(sum(SIZES) + 7))
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize("shares", SHARES)
def test_every_task_has_its_shares(shares):
    data = _with_tasks(SIZES)
    parts = split_queries(data, *shares, seed=0)
    for task, size in enumerate(SIZES):
        found = [int((data.queries.task[part] == task).sum()) for part in (parts.train, parts.validation)]
        first, second = int(shares[0] * size), int(round(sum(shares), 6) * size)
        assert found == [first, second - first]


def test_seventy_and_ten_percent_of_ten_leave_two():
    """0.7 + 0.1 is a little less than 0.8 in binary: ten queries are 7, 1 and 2, not 7, 0 and 3."""
    parts = split_queries(_with_tasks([10]), 0.7, 0.1, seed=0)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [7, 1, 2]


def test_a_task_of_one_query_is_tested_only():
    parts = split_queries(_with_tasks([1]), 0.7, 0.1, seed=0)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [0, 0, 1]


@pytest.mark.parametrize("seed", [0, 1, 9])
def test_the_recipe_of_the_data(seed):
    """data/README.md: for each task in sorted order, rng.permutation of its rows in file order."""
    data = _with_tasks([30, 11, 2, 25, 40, 5, 8, 13, 17, 21, 4])  # task10 sorts before task2
    rng = np.random.default_rng(seed)
    train, validation, test = [], [], []
    names = data.tasks.ids[data.queries.task].astype(str)
    for task in sorted(set(data.tasks.ids)):
        rows = rng.permutation(np.flatnonzero(names == task))
        n = len(rows)
        train += list(rows[: int(0.7 * n)])
        validation += list(rows[int(0.7 * n) : int(0.8 * n)])
        test += list(rows[int(0.8 * n) :])
    parts = split_queries(data, 0.7, 0.1, seed)
    assert (sorted(train), sorted(validation), sorted(test)) == tuple(
        part.tolist() for part in (parts.train, parts.validation, parts.test)
    )


@pytest.mark.parametrize("split", [split_queries, split_decisions])
def test_seeds_decide_the_split_alone(split):
    data = build_embedded(Embedded())
    first, again, other = (split(data, 0.7, 0.1, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)
    overlap = np.isin(first.test, other.test).mean()
    assert 0.1 < overlap < 0.4  # one in five by chance


def test_every_user_has_its_shares_of_decisions():
    counts = [0, 1, 10, 3, 0, 25, 100, 0]
    data = _with_deciders(counts)
    parts = split_decisions(data, 0.7, 0.1, seed=0)
    assert sorted(_all(parts)) == list(range(sum(counts)))
    for user, count in enumerate(counts):
        found = [int((data.decisions.user[part] == user).sum()) for part in (parts.train, parts.validation)]
        assert found == [int(0.7 * count), int(0.8 * count) - int(0.7 * count)]


def test_a_user_without_any_decision_changes_no_other_users_split():
    with_them, without = _with_deciders([0, 10, 0, 20]), _with_deciders([10, 20])
    for part in ("train", "validation", "test"):
        first, second = (getattr(split_decisions(data, 0.7, 0.1, seed=2), part) for data in (with_them, without))
        np.testing.assert_array_equal(first, second)


def test_users_are_divided_by_a_draw_of_their_own():
    parts = split_users(50, 0.7, 0.1, seed=0)
    assert sorted(_all(parts)) == list(range(50))
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [35, 5, 10]
    # in the order of their rows simulated users are in the order of their preference
    assert parts.test.max() - parts.test.min() > 20
    assert set(parts.test) != set(split_users(50, 0.7, 0.1, seed=1).test)
    assert set(parts.test) != set(split_queries(_with_tasks([50]), 0.7, 0.1, seed=0).test)


def test_the_number_of_its_part_stands_at_each_row():
    parts = Parts(np.array([0, 4]), np.array([3]), np.array([1]))
    assert parts.numbers(6).tolist() == [TRAIN, TEST, UNUSED, VALIDATION, TRAIN, UNUSED]


def test_of_each_group_as_many_are_drawn_as_asked_and_more_contain_fewer():
    group = np.random.default_rng(1).permutation(np.repeat([-1, 0, 2, 5], [9, 4, 1, 30]))
    before = np.zeros(len(group), bool)
    for number in range(6):
        drawn = draw_first(group, number, 3)
        assert [int(drawn[group == g].sum()) for g in (-1, 0, 2, 5)] == [0, *(min(number, n) for n in (4, 1, 30))]
        assert (drawn >= before).all()
        before = drawn


def test_a_draw_prefers_no_place():
    drawn = np.sum([draw_first(np.zeros(10, int), 3, seed) for seed in range(400)], axis=0)
    assert (abs(drawn - 120) < 40).all()  # four standard deviations


@pytest.mark.parametrize("number", [1, 4, 1000])
@pytest.mark.parametrize("split", ["cold_query", "warm_query", "cold_user"])
def test_a_user_trains_on_so_many_decisions(split, number):
    data = build_embedded(Embedded(num_users=20))
    nobody = np.zeros(len(data.llms.ids), bool)
    queries = None if split == "warm_query" else split_queries(data, 0.7, 0.1, seed=0)
    whole = divide(data, queries, Data(split=split), nobody, seed=0).part
    config = Data(split=split, decisions_per_user=number)
    part = divide(data, queries, config, nobody, seed=0).part
    user = data.decisions.user
    own, left = (np.bincount(user[p == TRAIN], minlength=20) for p in (whole, part))
    np.testing.assert_array_equal(left, np.minimum(own, number))
    assert (whole[part == TRAIN] == TRAIN).all()
    np.testing.assert_array_equal(part[whole != TRAIN], whole[whole != TRAIN])
    more = divide(data, queries, Data(split=split, decisions_per_user=number + 1), nobody, seed=0).part
    assert (more[part == TRAIN] == TRAIN).all()


def test_new_users_get_what_is_given_however_little_the_others_train_on():
    data = build_embedded(Embedded(num_users=20))
    queries = split_queries(data, 0.7, 0.1, seed=0)
    config = Data(split="cold_user", decisions_per_user=2, given=5)
    part = divide(data, queries, config, np.zeros(len(data.llms.ids), bool), seed=0).part
    users = split_users(20, 0.7, 0.1, seed=0)
    count = np.bincount(data.decisions.user[part == TRAIN], minlength=20)
    assert set(count[users.train]) == {2}
    assert set(count[users.validation]) | set(count[users.test]) == {5}


def test_users_queries_and_given_decisions_are_drawn_apart():
    """What is drawn for one purpose does not move when another purpose needs more or fewer draws."""
    data = build_embedded(Embedded(num_users=20))
    queries = split_queries(data, 0.7, 0.1, seed=0)
    nobody = np.zeros(len(data.llms.ids), bool)
    plain, more = (
        divide(data, queries, Data(split="cold_user", given=3, decisions_per_user=n), nobody, seed=0) for n in (0, 5)
    )
    np.testing.assert_array_equal(plain.given, more.given)
    for part in (VALIDATION, TEST):
        np.testing.assert_array_equal(plain.part == part, more.part == part)


def _at_times(time) -> Interactions:
    data = _with_deciders([len(time)])
    return data.replace(decisions=dataclasses.replace(data.decisions, time=np.array(time, float)))


@pytest.mark.parametrize("shares", SHARES)
def test_the_earliest_decisions_train_and_the_latest_are_tested_on(shares):
    time = np.random.default_rng(0).permutation(50)
    parts = split_times(_at_times(time), *shares)
    assert sorted(_all(parts)) == list(range(50))
    first, second = int(shares[0] * 50), int(round(sum(shares), 6) * 50)
    assert set(time[parts.train]) == set(range(first))
    assert set(time[parts.validation]) == set(range(first, second))
    assert (np.diff(parts.train) > 0).all()


def test_decisions_at_the_same_time_keep_their_order():
    parts = split_times(_at_times([5] * 10), 0.7, 0.1)
    assert (parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()) == (list(range(7)), [7], [8, 9])


def test_a_decision_without_a_time_cannot_be_split_by_time():
    with pytest.raises(
        ValueError, match=r"table decisions, column time, row 1: expected a time in every row .* nothing"
    ):
        split_times(_at_times([1, np.nan, 2]), 0.7, 0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_split_by_time_draws_nothing(seed):
    data = _at_times(np.random.default_rng(1).permutation(40))
    nobody = np.zeros(len(data.llms.ids), bool)
    found = divide(data, None, Data(split="time"), nobody, seed)
    np.testing.assert_array_equal(found.part, split_times(data, 0.7, 0.1).numbers(40))
    few = divide(data, None, Data(split="time", decisions_per_user=3), nobody, seed)
    assert (few.part == TRAIN).sum() == 3
