"""Gradient boosting, where LightGBM is installed."""

import importlib

import numpy as np
import pytest
from policy_cases import choices, labelled, parts, small_world, without_outcomes

from prouter_jax import metrics
from prouter_jax.evaluation.baselines.boosting import Boosting, BoostingTruePreference
from prouter_jax.evaluation.baselines.simple import BestSingle

needs_lightgbm = pytest.mark.skipif(
    importlib.util.find_spec("lightgbm") is None, reason="LightGBM: pip install 'prouter-jax[baselines]'"
)
SMALL = {"rounds": 30, "least_rows": 5, "components": 4}


def _reward(policy, train, validation, test):
    policy.fit(train, validation)
    picked = metrics.choose(policy.score(train, test.decisions), ~np.isnan(test.rewards))
    return metrics.mean(metrics.values_of_selected(test.rewards, picked))


@needs_lightgbm
@pytest.mark.parametrize("split", ["cold_query", "warm_query"])
def test_trees_learn_users_and_tasks_from_choices(split):
    dataset = small_world(split=split)
    assert _reward(Boosting(dataset, **SMALL), *parts(dataset)) > _reward(BestSingle(), *parts(dataset)) + 0.1


@needs_lightgbm
def test_trees_forecast_effects_and_costs():
    dataset = small_world("multi_cost_efficiency")
    first, second = Boosting(dataset, **SMALL), BoostingTruePreference(dataset, **SMALL)
    rewards = [_reward(policy, *parts(dataset)) for policy in (first, second, BestSingle())]
    assert min(rewards[:2]) > rewards[2]
    decisions = dataset.labelled("test").decisions
    # rewards determine preferences exactly
    np.testing.assert_allclose(first.score(parts(dataset)[0], decisions), second.score(None, decisions), atol=1e-4)


@needs_lightgbm
def test_ratings_without_outcomes_are_learnt_as_they_are():
    """A rating of 3 for LLM 1 on task 0, of 5 on others, of 4 for LLM 0; effects are unobserved."""
    dataset = without_outcomes(small_world())
    query, user = np.tile(np.arange(60), 8), np.repeat(np.arange(8), 60)
    first = dataset.data.queries.task[query] == 0
    rewards = np.stack([np.full(480, 4.0), np.where(first, 3.0, 5.0), *np.zeros((3, 480))], 1)
    train = labelled(user, query, rewards)
    policy = Boosting(dataset, learning_rate=0.3, **SMALL)
    policy.fit(train, train)
    np.testing.assert_allclose(policy.score(train, train.decisions), rewards, atol=0.3)


@needs_lightgbm
def test_rows_are_limited():
    dataset = small_world()
    train = choices(np.repeat(np.arange(8), 60), np.tile(np.arange(60), 8), [0] * 480, 5)
    policy = Boosting(dataset, most_rows=100, **SMALL)
    policy.fit(train, train)
    assert (policy.score(train, choices([0], [70], [0], 5).decisions).argmax(1) == 0).all()


def test_without_lightgbm_the_error_says_what_to_install(monkeypatch):
    dataset = small_world()
    train, validation, _ = parts(dataset)
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(ImportError, match=r"prouter-jax\[baselines\]"):
        Boosting(dataset, **SMALL).fit(train, validation)
