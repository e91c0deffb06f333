"""Cost scale, decisions as arrays and rewards, against a small world worked by hand."""

import dataclasses
import math

import numpy as np
import pytest

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import CHOICE, RATING, Interactions, strings
from prouter_jax.data.rewards import (
    CostScale,
    DecisionArrays,
    build_decisions,
    build_rewards,
    choice_shares,
    fit_cost_scale,
    outcome_matrices,
)
from prouter_jax.data.validation import validate

NAN = math.nan
# rows of `build_decisions`: a choice, a tie, ratings, no feedback
CHOSEN, TIED, RATED, SILENT = range(4)


def _world() -> Interactions:
    """Three queries (tasks a, b, none), three LLMs; u0 has weight 0.75, u1 is real and has no planted weight.

    Costs of task a: 1, 3, 5; of task b: 2, 2 and unknown; of the query without a task: 2, 4, 3.
    """
    names = strings(["x", "y", "z"])
    effect = np.array([0.5, 1, 0, 0.2, 0.4, 0.6, 1, 1, 1])
    cost = np.array([1, 3, 5, 2, 2, NAN, 2, 4, 3])
    rows = np.repeat(np.arange(3), 3)
    unknown = np.full(9, NAN)
    prices = np.full(3, NAN)
    told = [
        (CHOSEN, CHOICE, 0, 1),
        (TIED, CHOICE, 0, 0.5),
        (TIED, CHOICE, 1, 0.5),
        (RATED, RATING, 0, 3),
        (RATED, RATING, 1, 7),
    ]
    decision, kind, llm, value = (np.array(column) for column in zip(*told, strict=True))
    return validate(
        Interactions(
            tables.Users(strings(["u0", "u1"]), np.array([0.75, NAN])),
            tables.Tasks(strings(["a", "b"]), strings(["", ""])),
            tables.Queries(strings(["q0", "q1", "q2"]), names, np.array([0, 1, -1])),
            tables.Llms(names, names, names, prices, prices, strings(["", "", ""])),
            tables.Outcomes(rows, np.tile(np.arange(3), 3), effect, cost, unknown, unknown),
            np.array([[True, True, True], [True, True, False]]),
            tables.Decisions(
                strings(["d0", "d1", "d2", "d3"]),
                np.array([0, 0, 1, 1]),
                np.array([0, 2, 0, 1]),
                np.array([1, 0, 0, 0]),
                np.zeros(4),
                np.full(4, -1),
            ),
            tables.Feedback(decision, kind.astype(np.int8), llm, value.astype(np.float32)),
        )
    )


def _rewards(data: Interactions) -> np.ndarray:
    return build_rewards(data, fit_cost_scale(data), build_decisions(data, np.arange(len(data.decisions.user))))


def test_costs_are_scaled_within_their_task_and_without_a_task_over_all():
    data = _world()
    _, cost = outcome_matrices(data, fit_cost_scale(data))
    np.testing.assert_allclose(cost, [[0, 0.5, 1], [0, 0, NAN], [0.25, 0.75, 0.5]])


def test_a_constant_cost_is_scaled_to_zero_and_an_unknown_one_stays_unknown():
    scale = CostScale(np.array([2.0, 0.0]), np.array([2.0, 1.0]))
    np.testing.assert_array_equal(scale.scale(np.array([2.0, 9.0, NAN]), np.zeros(3, int)), [0, 0, NAN])


def test_a_task_without_known_costs_takes_the_overall_scale():
    data = _world()
    cost = np.where(data.outcomes.query == 1, NAN, data.outcomes.cost)
    scale = fit_cost_scale(data.replace(outcomes=dataclasses.replace(data.outcomes, cost=cost)))
    np.testing.assert_array_equal([scale.low, scale.high], [[1, 1, 1], [5, 5, 5]])


def test_without_any_cost_all_scales_are_empty():
    data = _world()
    outcomes = dataclasses.replace(data.outcomes, cost=np.full(9, NAN))
    scale = fit_cost_scale(data.replace(outcomes=outcomes))
    np.testing.assert_array_equal([scale.low, scale.high], np.zeros((2, 3)))


def test_costs_outside_the_training_range_leave_the_unit_interval():
    scale = CostScale(np.array([1.0, 0.0]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(scale.scale(np.array([0.0, 5.0]), np.zeros(2, int)), [-0.5, 2])


def test_unscale_gives_the_costs_back_and_none_below_zero():
    scale = CostScale(np.array([1.0, 2.0]), np.array([3.0, 2.0]))
    cost, task = np.array([[1.0, 2.5], [2.0, 2.0]]), np.array([0, 1])
    np.testing.assert_allclose(scale.unscale(scale.scale(cost, task), task), cost)
    assert scale.unscale(np.array([-4.0]), np.array([0])) == [0]


def test_decisions_come_in_the_order_asked_for():
    data = _world()
    found = build_decisions(data, np.array([RATED, CHOSEN]))
    assert (found.user.tolist(), found.query.tolist()) == ([1, 0], [0, 0])
    np.testing.assert_array_equal(found.offered, [[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(found.target, [[0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.rating, [[3, 7, NAN], [NAN] * 3])


def test_a_planted_preference_weighs_effect_against_scaled_cost():
    """0.75 effect - 0.25 cost; the third LLM is not on offer in the first decision."""
    np.testing.assert_allclose(_rewards(_world())[CHOSEN], [0.375, 0.75 - 0.125, NAN])
    np.testing.assert_allclose(_rewards(_world())[TIED], [0.75 - 0.0625, 0.75 - 0.1875, 0.75 - 0.125])


def test_a_person_s_reward_is_the_rating_and_without_feedback_unknown():
    rewards = _rewards(_world())
    np.testing.assert_array_equal(rewards[RATED], [3, 7, NAN])
    np.testing.assert_array_equal(rewards[SILENT], [NAN] * 3)


def test_a_person_s_reward_without_ratings_is_the_share_of_the_choice():
    data = _world()
    people = data.replace(users=dataclasses.replace(data.users, preference=np.full(2, NAN)))
    np.testing.assert_array_equal(_rewards(people)[[CHOSEN, TIED]], [[1, 0, NAN], [0.5, 0.5, 0]])


def test_a_missing_outcome_makes_a_reward_unknown_and_no_other():
    data = _world()
    effect = data.outcomes.effect.copy()
    effect[1] = NAN
    rewards = _rewards(data.replace(outcomes=dataclasses.replace(data.outcomes, effect=effect)))
    np.testing.assert_allclose(rewards[CHOSEN], [0.375, NAN, NAN])
    np.testing.assert_allclose(rewards[TIED], _rewards(_world())[TIED])


@pytest.mark.parametrize(
    ("rating", "expected"),
    [
        ([3, 7, NAN], [0, 1, 0]),
        ([7, 3, 7], [0.5, 0, 0.5]),
        ([-2, -1, NAN], [0, 1, 0]),
        ([NAN] * 3, [0, 0, 0]),
    ],
)
def test_the_best_rated_share_the_choice_where_none_was_made(rating, expected):
    nothing, offered = np.zeros((1, 3), np.float32), np.ones((1, 3), bool)
    decisions = DecisionArrays(
        np.zeros(1, int),
        np.zeros(1, int),
        offered,
        nothing,
        np.array([rating], np.float32),
        np.array([-1]),
        -np.ones((1, 3), np.int8),
    )
    np.testing.assert_array_equal(choice_shares(decisions), [expected])


def test_a_choice_counts_more_than_a_rating():
    shares = choice_shares(
        DecisionArrays(
            *(np.zeros(1, int), np.zeros(1, int), np.ones((1, 2), bool)),
            *(np.array([[1.0, 0]]), np.array([[1.0, 9]]), np.array([-1]), np.full((1, 2), -1)),
        )
    )
    np.testing.assert_array_equal(shares, [[1, 0]])


def test_permuting_rows_of_outcomes_and_feedback_changes_nothing():
    data, rng = _world(), np.random.default_rng(0)
    shuffled = data.replace(
        outcomes=tables.take(data.outcomes, rng.permutation(9)),
        feedback=tables.take(data.feedback, rng.permutation(5)),
    )
    np.testing.assert_array_equal(_rewards(shuffled), _rewards(data))


def test_one_rated_answer_beside_others_that_nobody_saw_is_no_choice():
    rating = np.array([[0.0, NAN, NAN], [1.0, NAN, NAN], [1.0, 3.0, NAN], [2.0, NAN, NAN]])
    offered = np.ones((4, 3), bool)
    offered[3, 1:] = False
    zeros = np.zeros(4, int)
    shares = choice_shares(
        DecisionArrays(zeros, zeros, offered, np.zeros((4, 3)), rating, zeros - 1, np.full((4, 3), -1))
    )
    np.testing.assert_array_equal(shares, [[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]])
