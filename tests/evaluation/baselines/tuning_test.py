"""Tuning of baselines, and properties of every baseline with hyperparameters."""

import dataclasses
import importlib

import numpy as np
import pytest
from policy_cases import parts, small_world

from prouter_jax.dataset import Labelled
from prouter_jax.evaluation.baselines import tuning
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.spaces import BUILDERS, SPACES
from prouter_jax.evaluation.baselines.tuning import applicable
from prouter_jax.search import uniform

_STEPPED = ("factorisation", "factorisation_kernel", "implicit_als", "mlp", "contrastive", "graph_router")
QUICK = {name: {"steps": 3} for name in _STEPPED}
QUICK |= {name: {"rounds": 3, "components": 4} for name in ("boosting", "boosting_true_preference")}
TOLD = {"boosting_true_preference", "task_means_true_preference"}
BLIND = {"bradley_terry", "bradley_terry_task", "cascade", "switch", "contrastive", "graph_router"}
WORLDS = [("recorded", "cold_query"), ("recorded", "warm_query"), ("multi_cost_efficiency", "cold_query")]
INSTALLED = [
    name for name in BUILDERS if importlib.util.find_spec("lightgbm") is not None or not name.startswith("boosting")
]


def _scores(name, dataset, train=None, history=None):
    first, validation, test = parts(dataset)
    policy = BUILDERS[name](dataset, **QUICK.get(name, {}))
    policy.fit(first if train is None else train, validation)
    return policy.score(first if history is None else history, test.decisions)


def _names(dataset):
    return [name for name in applicable(dataset) if name in INSTALLED]


@pytest.mark.parametrize(("users", "split"), WORLDS)
def test_every_candidate_has_a_number_even_if_unknown(users, split):
    """LLM 4, user 3 and query 0 have no training decisions."""
    dataset = small_world(users, split)
    train, _, test = parts(dataset)
    rewards = train.rewards.copy()
    rewards[:, 4] = np.nan
    offered = train.decisions.offered & (np.arange(5) != 4)
    reduced = Labelled(dataclasses.replace(train.decisions, offered=offered), rewards)
    reduced = select(reduced, (train.decisions.user != 3) & (train.decisions.query != 0))
    for name in _names(dataset):
        scores = _scores(name, dataset, train=reduced, history=reduced)
        assert scores.shape == test.decisions.offered.shape, name
        assert np.isfinite(scores[test.decisions.offered]).all(), name


@pytest.mark.parametrize(("users", "split"), WORLDS)
def test_users_without_history_have_equal_scores(users, split):
    """Two users without history get the same scores for the same query; with history they do not."""
    dataset = small_world(users, split)
    train, validation, _ = parts(dataset)
    others = select(train, ~np.isin(train.decisions.user, (2, 5)))
    asked = [select(train, np.flatnonzero(train.decisions.user == 2)[:10]).decisions]
    asked.append(dataclasses.replace(asked[0], user=np.full(len(asked[0].user), 5)))
    for name in set(_names(dataset)) - TOLD:
        policy = BUILDERS[name](dataset, **QUICK.get(name, {}))
        policy.fit(others, validation)
        first, second = (policy.score(others, some) for some in asked)
        np.testing.assert_allclose(first, second, err_msg=name)
        policy.fit(train, validation)
        first, second = (policy.score(train, some) for some in asked)
        assert np.array_equal(first, second) == (name in BLIND), name


@pytest.mark.parametrize(("users", "split"), WORLDS)
def test_no_policy_knows_test_choices_or_outcomes(users, split):
    dataset = small_world(users, split)
    data, rng = dataset.data, np.random.default_rng(0)
    hidden = dataset.world_query[data.outcomes.query] < 0
    hidden &= ~np.isin(data.outcomes.query, dataset.labelled("validation").decisions.query)
    outcomes = dataclasses.replace(
        data.outcomes,
        effect=np.where(hidden, rng.random(len(hidden)), data.outcomes.effect).astype(np.float32),
        cost=np.where(hidden, rng.random(len(hidden)), data.outcomes.cost).astype(np.float32),
    )
    tested = np.isin(data.feedback.decision, dataset.parts.test)
    feedback = dataclasses.replace(
        data.feedback, value=np.where(tested, data.feedback.value * 0.5, data.feedback.value)
    )
    other = dataclasses.replace(dataset, data=data.replace(outcomes=outcomes, feedback=feedback))
    for name in _names(dataset):
        np.testing.assert_array_equal(_scores(name, dataset), _scores(name, other), err_msg=name)


def test_true_preferences_are_used_only_by_name():
    dataset = small_world("multi_cost_efficiency")
    users = dataclasses.replace(dataset.data.users, preference=dataset.data.users.preference[::-1].copy())
    train = dataset.labelled("train")
    validation, decisions = dataset.labelled("validation"), dataset.labelled("test").decisions
    for name in _names(dataset):
        found = []
        for world in (dataset, dataclasses.replace(dataset, data=dataset.data.replace(users=users))):
            policy = BUILDERS[name](world, **QUICK.get(name, {}))
            policy.fit(train, validation)
            found.append(policy.score(train, decisions))
        assert np.array_equal(*found) == ("true_preference" not in name), name


def test_applicable_policies_need_what_the_data_has():
    assert set(BUILDERS) - set(applicable(small_world())) == TOLD
    assert set(applicable(small_world("multi_cost_efficiency"))) == set(BUILDERS)


def test_configurations_are_the_default_and_then_seeded_draws():
    assert set(SPACES) == set(BUILDERS)
    for name in BUILDERS:
        found = tuning.configurations(name, 20, seed=1)
        assert found[0] == {}
        assert len(found) == 20
        assert found == tuning.configurations(name, 20, seed=1)
        assert found != tuning.configurations(name, 20, seed=2)
        assert found[:5] == tuning.configurations(name, 5, seed=1)
        BUILDERS[name](small_world(), **found[1])


def test_configurations_are_those_of_the_published_tables():
    assert tuning.configurations("kernel_ridge", 2)[1] == pytest.approx(
        {
            "penalty": 0.21438636327835395,
            "text_weight": 0.0981589012150615,
            "width": 0.5176762545875065,
            "own_strength": 77.00336616666826,
            "query_strength": 1.7365226945029375,
        }
    )
    assert tuning.configurations("boosting", 2)[1] == pytest.approx(
        {"rounds": 30, "leaves": 7, "learning_rate": 0.06002617621875936, "least_rows": 50, "components": 16}
    )


def _trial(number, rewards, losses):
    return tuning.Trial({"a": number}, np.mean(rewards), np.mean(losses), 0.0, np.array(rewards), np.array(losses))


def test_the_best_takes_the_place_of_the_defaults_only_if_it_is_better_beyond_chance():
    first, lucky = _trial(0, [0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1]), _trial(1, [0.5, 0.1, 0.2, 0.3], [1, 1, 1, 0.9])
    better = _trial(2, [0.12, 0.23, 0.32, 0.43], [2, 2, 2, 2.1])
    assert tuning.pick_best([first, lucky]).settings == {"a": 0}
    assert tuning.pick_best([first, better]).settings == {"a": 2}
    assert tuning.pick_best([first, better], by_log_loss=True).settings == {"a": 0}
    assert tuning.pick_best([better, first], by_log_loss=True).settings == {"a": 0}


def test_tuning_measures_configurations_on_validation():
    dataset = small_world()
    found = tuning.tune("smoothed_user_task", dataset, budget=8)
    assert len(found.trials) == 8
    assert found.reward in [trial.reward for trial in found.trials]
    assert found.reward >= found.trials[0].reward
    for trial in found.trials:
        assert len(trial.rewards) == len(np.unique(dataset.labelled("validation").decisions.query))
        assert np.nanmean(trial.rewards) == pytest.approx(trial.reward, abs=0.1)
    policies = tuning.make_tuned(dataset, {"smoothed_user_task": found.settings, "ridge": {}})
    assert [policy.name for policy in policies.values()] == list(policies) == ["smoothed_user_task", "ridge"]


def test_slow_policies_end_in_a_comparison_in_full(monkeypatch):
    used = []

    class Counted(BUILDERS["smoothed_favourite"]):
        def __init__(self, dataset, strength=8.0, steps=60):
            super().__init__(dataset, strength)
            used.append(steps)

    monkeypatch.setattr(tuning, "BUILDERS", {"factorisation": Counted})
    monkeypatch.setattr(tuning, "SPACES", {"factorisation": {"strength": uniform(1, 9)}})
    found = tuning.tune("factorisation", small_world(), budget=6)
    cheap = tuning.CHEAPER["factorisation"]["steps"]
    assert used == [cheap] * 6 + [60] * 4
    assert len(found.trials) == 6


def test_unknown_names_and_budgets_are_errors():
    with pytest.raises(ValueError, match=r"policy: expected one of smoothed_favourite.*found 'knn'"):
        tuning.configurations("knn")
    with pytest.raises(ValueError, match="'knn'"):
        tuning.tune("knn", small_world())
    with pytest.raises(ValueError, match="'knn'"):
        tuning.make_tuned(small_world(), {"knn": {}})
    with pytest.raises(ValueError, match="budget: expected at least 1"):
        tuning.configurations("ridge", 0)
