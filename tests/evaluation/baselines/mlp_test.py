"""The MLP: its start, its losses, and the policy on small data."""

import numpy as np
import pytest
from policy_cases import labelled, parts, small_world, without_outcomes

from prouter_jax import metrics
from prouter_jax.evaluation.baselines.mlp import Mlp, MlpPolicy
from prouter_jax.evaluation.baselines.simple import BestSingle, SmoothedUserTask


def _reward(policy, train, validation, test):
    policy.fit(train, validation)
    picked = metrics.choose(policy.score(train, test.decisions), ~np.isnan(test.rewards))
    return metrics.mean(metrics.values_of_selected(test.rewards, picked))


def _untrained(train, validation, test, dataset):
    policy = MlpPolicy(dataset, learning_rate=0.0, steps=1)
    policy.fit(train, validation)
    return policy.score(train, test.decisions)


@pytest.mark.parametrize("users", ["recorded", "multi_cost_efficiency"])
def test_training_beats_the_best_single_llm(users):
    dataset = small_world(users)
    policy = MlpPolicy(dataset, steps=200, components=4)
    assert _reward(policy, *parts(dataset)) > _reward(BestSingle(), *parts(dataset))


def test_an_untrained_network_is_the_users_mean_on_the_task():
    dataset = small_world()
    train, validation, test = parts(dataset)
    expected = SmoothedUserTask(dataset, strength=8.0, task_strength=10.0)
    expected.fit(train, validation)
    found = _untrained(train, validation, test, dataset)
    np.testing.assert_allclose(found, expected.score(train, test.decisions), atol=1e-4)


def test_the_network_learns_a_softmax_over_what_is_on_offer():
    """The input's sign determines which of the first two outputs is chosen; the third is never a candidate."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 3)).astype(np.float32)
    target = np.stack([inputs[:, 0] > 0, inputs[:, 0] <= 0, np.ones(600)], 1)
    observed = np.tile([True, True, False], (600, 1))
    network = Mlp(hidden=16, dropout=0.0, weight_decay=0.0, learning_rate=0.02, steps=150)
    network.fit(inputs, np.zeros((600, 3)), target, observed, choices=True)
    found = network.predict(inputs, np.zeros((600, 3)))
    assert ((found[:, 0] > found[:, 1]) == (inputs[:, 0] > 0)).mean() > 0.97
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-6)


def test_the_network_fits_squares_and_starts_at_the_given_values():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 2)).astype(np.float32)
    start = np.full((600, 1), 5.0)
    target = 5 + inputs[:, :1] * inputs[:, 1:]
    network = Mlp(hidden=32, dropout=0.0, weight_decay=0.0, learning_rate=0.02, steps=400)
    network.fit(inputs, start, target, np.ones((600, 1), bool), choices=False)
    assert np.abs(network.predict(inputs, start) - target).mean() < 0.2


def test_ratings_without_outcomes_are_learnt_as_they_are():
    """A rating of 3 for LLM 1 on task 0, of 5 on others, of 4 for LLM 0; effects are unobserved."""
    dataset = without_outcomes(small_world())
    query, user = np.tile(np.arange(60), 8), np.repeat(np.arange(8), 60)
    first = dataset.data.queries.task[query] == 0
    rewards = np.stack([np.full(480, 4.0), np.where(first, 3.0, 5.0), *np.zeros((3, 480))], 1)
    train = labelled(user, query, rewards)
    policy = MlpPolicy(dataset, components=4, steps=100)
    policy.fit(train, train)
    assert np.abs(policy.score(train, train.decisions) - rewards).mean() < 0.3
