"""Cascade and switch: a cheap LLM where it will do."""

import dataclasses

import numpy as np
from policy_cases import labelled, small_world

from prouter_jax.evaluation.baselines.cascade import Cascade, Switch

PREPARED = small_world()
TASK = PREPARED.data.queries.task


def _planted(queries):
    """LLM 0 does on task 0 alone, LLM 1 nearly always; the others never."""
    rewards = np.zeros((len(queries), 5))
    rewards[:, 0] = TASK[queries] == 0
    rewards[:, 1] = 0.8
    return labelled(np.zeros(len(queries), int), queries, rewards)


def _world():
    """LLM 0 is the cheapest, LLM 1 among the dearest."""
    cost = np.array([1, 8, 9, 2, 7.0])[PREPARED.data.outcomes.llm]
    world = PREPARED.world.interactions
    seen = np.array([1, 8, 9, 2, 7.0])[world.outcomes.llm]
    outcomes = dataclasses.replace(world.outcomes, cost=seen)
    data = PREPARED.data.replace(outcomes=dataclasses.replace(PREPARED.data.outcomes, cost=cost))
    return dataclasses.replace(
        PREPARED, data=data, world=dataclasses.replace(PREPARED.world, interactions=world.replace(outcomes=outcomes))
    )


def _picks(policy):
    train, validation = _planted(np.arange(60)), _planted(np.arange(60, 80))
    policy.fit(train, validation)
    return policy.score(train, _planted(np.arange(80, 100)).decisions).argmax(1)


def test_the_cheap_llm_answers_where_it_is_forecast_to_do():
    expected = np.where(TASK[80:] == 0, 0, 1)
    for kind in (Cascade, Switch):
        np.testing.assert_array_equal(_picks(kind(_world(), penalty=0.1, text_weight=0.1)), expected)


def test_a_switch_knows_two_llms_only():
    assert set(_picks(Switch(_world(), penalty=1e6))) <= {0, 1}


def test_without_costs_llms_are_ordered_by_reward():
    world = PREPARED.world.interactions
    unknown = np.full(len(world.outcomes.cost), np.nan)
    costless = world.replace(outcomes=dataclasses.replace(world.outcomes, cost=unknown))
    dataset = dataclasses.replace(PREPARED, world=dataclasses.replace(PREPARED.world, interactions=costless))
    policy = Cascade(dataset, length=2, penalty=0.1, text_weight=0.1)
    np.testing.assert_array_equal(_picks(policy), np.where(TASK[80:] == 0, 0, 1))
