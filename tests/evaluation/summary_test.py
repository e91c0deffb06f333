"""The report on the results of seeds, worked by hand."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import Users, strings
from prouter_jax.evaluation.evaluate import SeedResult, Selections
from prouter_jax.evaluation.summary import summarise
from prouter_jax.report.types import Report

NAN = np.nan


def _result(rewards: dict[str, list[float]], llm: list[int], preference=(0.2, 0.8)) -> SeedResult:
    """Two users, two tasks; four decisions on the queries 0, 0, 1, 2, the last without a task."""
    nothing = np.full(4, NAN)
    picks = {
        name: Selections(np.array(llm), np.array(some), np.array([1, 0, 1, NAN]), np.arange(4.0), nothing)
        for name, some in rewards.items()
    }
    users = Users(strings(["ann", "bob"]), np.array(preference))
    names = strings(["t0", "t1"]), strings(["x", "y", "z"])
    return SeedResult(users, *names, np.array([0, 1, 0, 0]), np.array([0, 0, 1, -1]), np.array([0, 0, 1, 2]), picks)


@pytest.fixture
def by_hand() -> Report:
    single, oracle = [0.0] * 4, [1.0] * 4
    first = _result({"router": [0, 1, 1, 0], "best_single": single, "oracle": oracle}, llm=[0, 2, 0, 1])
    second = _result({"router": [1, 1, 1, 0], "best_single": single, "oracle": [2.0] * 4}, llm=[2, 2, 2, 2])
    return summarise([first, second], "by hand", {})


def test_a_report_worked_by_hand(by_hand):
    router = by_hand.policies["router"]
    assert router.reward.values == [0.5, 0.75]
    assert (router.reward.mean, router.reward.spread) == pytest.approx((0.625, 0.25 / np.sqrt(2)))
    assert router.gap_closed.values == [0.5, 0.375]
    assert router.accuracy.mean == pytest.approx(2 / 3)
    assert router.effect.mean == 1.5
    assert np.isnan(router.cost.mean)
    assert router.per_task == {"t0": 0.75, "t1": 1.0, "no task": 0.0}
    assert router.per_user == pytest.approx({"ann": 0.5, "bob": 1.0})
    assert by_hand.policies["oracle"].gap_closed.values == [1, 1]
    assert by_hand.policies["best_single"].gap_closed.values == [0, 0]


def test_users_and_shares_worked_by_hand(by_hand):
    ann, bob = by_hand.users
    assert (ann.user_id, ann.preference, ann.reward, ann.best_single) == pytest.approx(("ann", 0.2, 0.5, 0.0))
    assert (ann.favourite_llm, bob.favourite_llm) == ("z", "z")
    assert by_hand.shares.users == ["ann (preference 0.20)", "bob (preference 0.80)"]
    assert by_hand.shares.llms == ["x", "y", "z"]
    np.testing.assert_allclose(by_hand.shares.shares, [[2 / 6, 1 / 6, 3 / 6], [0, 0, 1]])


def test_a_point_of_unknown_cost_is_no_point_of_the_frontier(by_hand):
    assert by_hand.frontier == []


def test_differences_over_seeds_worked_by_hand(by_hand):
    """0.5 and 0.75: mean 0.625, standard error 0.125, t(1) = 12.706."""
    rows = {(row.policy, row.against): row for row in by_hand.paired}
    assert set(rows) == {("router", "best_single"), ("router", "oracle")}
    row = rows["router", "best_single"]
    assert (row.mean, row.low, row.high) == pytest.approx((0.625, 0.625 - 1.5883, 0.625 + 1.5883), abs=1e-4)
    assert (row.over, row.n) == ("seeds", 2)


def test_one_seed_is_compared_over_its_queries():
    rewards = {"router": [0, 1, 1, 0], "user_blind": [0, 0, 0, 0], "best_single": [0] * 4, "oracle": [1] * 4}
    report = summarise([_result(rewards, llm=[0] * 4)], "one", {})
    assert {(row.policy, row.against) for row in report.paired} == {
        ("router", "user_blind"),
        ("router", "best_single"),
        ("router", "oracle"),
        ("user_blind", "best_single"),
    }
    assert {(row.over, row.n) for row in report.paired} == {("test queries", 3)}
    assert report.policies["router"].reward.spread == 0.0


def test_the_name_of_the_reward_and_the_frontier_need_known_preferences():
    rewards = {"router": [0, 1, 1, 0], "best_single": [0] * 4, "oracle": [1] * 4}
    known = _result(rewards, llm=[0] * 4)
    known = dataclasses.replace(
        known, picks={name: dataclasses.replace(p, cost=np.ones(4)) for name, p in known.picks.items()}
    )
    unknown = dataclasses.replace(known, users=Users(known.users.ids, np.full(2, NAN)))
    first, second = summarise([known], "", {}), summarise([unknown], "", {})
    assert (first.reward_name, second.reward_name) == ("reward", "share of choices matched")
    assert [(point.preference, point.effect, point.cost) for point in first.frontier] == [
        ("0.20", pytest.approx(5 / 3), 1),
        ("0.80", 1, 1),
    ]
    assert second.frontier == []
    assert second.shares.users == ["ann", "bob"]
