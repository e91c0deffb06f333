"""Measuring: numbers by hand, settings that are kept, new users who are not learnt from, new LLMs that are ignored."""

import dataclasses
import math
import pathlib

import numpy as np
import pytest
from policy_cases import choices as decided
from policy_cases import labelled

from prouter_jax.config import Model
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol import tuning as tuned
from prouter_jax.evaluation.protocol.definition import MissingData, Size, changed, from_arguments, to_arguments
from prouter_jax.evaluation.protocol.scoring import evaluate_scores, users_worse
from prouter_jax.evaluation.protocol.tables import base, definitions
from prouter_jax.evaluation.protocol.tuning import Tuning, tuned_settings
from prouter_jax.io.locks import Busy, lock


@pytest.fixture
def size(tmp_path):
    return Size(True, tmp_path, tmp_path / "tuned")


def _unit(size, table, start):
    (found,) = [one for one in definitions(size) if one.name == table]
    return next(unit for unit in found.units if unit.key.startswith(start))


def test_numbers_of_scores_are_those_by_hand():
    """Three of four validation choices go to the LLM of odds 4 to 1, so the odds become 3 to 1."""
    validation, test = decided([0] * 4, range(4), [0, 0, 0, 1], 3), decided([0] * 2, [4, 5], [0, 1], 3)
    scores = np.tile([np.log(0.8), np.log(0.2), -np.inf], (6, 1))
    found = evaluate_scores({"one": scores}, validation, test, "reward")["one"]
    assert found["reward"] == found["accuracy"] == 0.5
    assert found["top2"] == 1
    assert found["validation"] == 0.75
    assert found["log_loss"] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2, abs=1e-3)
    assert found["calibration"] == pytest.approx(0.25, abs=1e-3)


def test_served_probabilities_are_measured_as_they_are():
    """Odds of 4 to 1 where three of four validation choices and half of the test choices fall on the first."""
    validation, test = decided([0] * 4, range(4), [0, 0, 0, 1], 2), decided([0] * 4, range(4), [0, 1, 0, 0], 2)
    scores = np.tile(np.log([0.8, 0.2]), (8, 1))
    found = evaluate_scores({"router": scores, "ridge": scores}, validation, test, "log_loss", {"router": 0.5})
    odds = 2.0  # 4 ** 0.5
    loss = -(3 * np.log(odds) - 4 * np.log(1 + odds)) / 4
    assert found["router"]["log_loss"] == found["router"]["validation"] == pytest.approx(loss)
    assert found["router"]["calibration"] == pytest.approx(0.75 - 2 / 3)
    assert found["router"]["slope"] == pytest.approx(np.log(3) / np.log(2), rel=1e-3)
    assert found["ridge"]["slope"] == pytest.approx(1, abs=1e-3)


def test_an_impossible_choice_has_no_slope():
    one = decided([0], [0], [1], 2)
    found = evaluate_scores({"one": np.array([[0.0, 1], [0, -np.inf]])}, one, one, "reward")["one"]
    assert (found["log_loss"], math.isnan(found["slope"])) == (math.inf, True)


def test_users_who_do_worse_are_those_whose_mean_is_lower():
    """With their histories user 0 loses on one of two queries and gains less on the other; user 1 gains on both."""
    test = decided([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], 2)
    blind = np.zeros((4, 2))
    known = np.array([[-2.0, 0], [1, 0], [1, 0], [1, 0]])
    found = users_worse({"router": known, "user_blind": blind}, test, 1.0)
    assert found["worse"] == found["worse_accuracy"] == 0.5
    assert found["worse_significantly"] == 0
    assert users_worse({"router": blind + 1e-6, "user_blind": blind}, test, 1.0) == {}


def test_scores_without_choices_have_no_log_loss():
    rated = labelled([0, 0], [0, 1], [[0.1, 0.9], [0.3, 0.2]])
    unknown = dataclasses.replace(rated.decisions, rating=np.full((2, 2), np.nan), target=np.zeros((2, 2)))
    rated = dataclasses.replace(rated, decisions=unknown)
    found = evaluate_scores({"one": np.array([[0.0, 1], [0, 1], [0, 1], [0, 1]])}, rated, rated, "reward")["one"]
    assert found["reward"] == pytest.approx(0.55)
    assert math.isnan(found["log_loss"])


def test_changes_are_checked_and_do_not_touch_the_original():
    config = base.embedded(Size(False, pathlib.Path(), pathlib.Path()), {})
    assert changed(config, {"model.query_kernel.text": 3.5}).model.query_kernel.text == 3.5
    assert config.model.query_kernel.text != 3.5
    with pytest.raises(ValueError, match=r"config.model.nearness: expected a field"):
        changed(config, {"model.nearness": 1})
    with pytest.raises(ValueError, match=r"config.model.query_kernel.text"):
        changed(config, {"model.query_kernel.text": -1.0})


def test_missing_data_is_named(tmp_path):
    config = base.choices(Size(False, tmp_path, tmp_path))
    with pytest.raises(MissingData, match=f"{tmp_path}/alpaca_route: expected a folder of data"):
        from_arguments(to_arguments(config), tmp_path)


def test_what_was_tuned_is_not_tuned_again(size, monkeypatch):
    tuning = Tuning(**{**base.tuning(size, "mine", base.choices(size)), "policies": ("smoothed_favourite",)})
    first = tuned_settings(tuning, size.data, size.tuned)
    assert set(first) == {"smoothed_favourite", "router"}
    monkeypatch.setattr(tuned, "_tune", None)
    assert tuned_settings(tuning, size.data, size.tuned) == first
    with pytest.raises(ValueError, match="expected the tuning of this table"):
        tuned_settings(dataclasses.replace(tuning, budget=3), size.data, size.tuned)


def test_the_router_of_preset_tuned_is_not_searched(size, monkeypatch):
    config = changed(base.choices(size), {"model.preset": "tuned"})
    tuning = Tuning(**{**base.tuning(size, "default", config), "policies": ("smoothed_favourite",)})
    monkeypatch.setattr(tuned, "tune_router", None)
    assert tuned_settings(tuning, size.data, size.tuned)["router"] == {}


def test_what_another_process_tunes_is_not_tuned_here(size):
    tuning = Tuning(**{**base.tuning(size, "theirs", base.choices(size)), "policies": ("smoothed_favourite",)})
    with lock(size.tuned / "theirs.lock"), pytest.raises(Busy):
        tuned_settings(tuning, size.data, size.tuned)


def test_the_router_s_configurations_are_those_of_the_published_tables():
    rng = np.random.default_rng(0)
    kernels = [tuned.draw_query_kernel(rng, Model()) for _ in range(3)]
    assert kernels[0] == pytest.approx(
        {
            "model.unseen_queries": "utility",
            "model.query_kernel.text": 0.8762170186296584,
            "model.query_kernel.style": 0.1,
            "model.query_kernel.task": 0.0,
            "model.query_kernel.noise": 2.1092819615837217,
        }
    )
    assert tuned.draw_training(rng) == pytest.approx(
        {
            "model.factor_dim": 12,
            "model.factor_precision": 2.012651104007963,
            "model.prior_strength": 13.046940513291323,
            "model.style": True,
            "model.llm_weights": False,
            "model.population_mean": True,
        }
    )


def test_over_several_splits_the_best_mean_wins():
    trials, others = (
        [tuned.Trial({"a": n}, reward, 1.0, 0.0, np.full(9, reward), np.ones(9)) for n, reward in enumerate(rewards)]
        for rewards in ((0.5, 0.4), (0.1, 0.5))
    )
    averaged = tuned._averaged([trials, others])
    assert [one.reward for one in averaged] == [0.3, 0.45]
    assert tuned.pick_best(averaged).settings == {"a": 1}


def test_new_users_are_scored_by_what_is_known_of_them(size):
    unit = _unit(size, "new_users", "choices")
    found = unit.function(**unit.arguments | {"ks": [0, 3]})
    assert [one["k"] for one in found] == [0, 3]
    nobody, known = ({name: one["reward"] for name, one in each["policies"].items()} for each in found)
    assert nobody["router"] == nobody["user_blind"] == found[0]["blind"]
    assert known["user_blind"] == nobody["user_blind"]
    assert known["router"] != nobody["router"]
    assert found[0]["full"] >= max(found[0]["blind"], found[1]["full"])
    assert "worse" not in found[0]["policies"]["router"]
    assert 0 <= found[1]["policies"]["router"]["worse"] <= 1


def test_new_llms_are_ignored_by_the_blind_score_alone(size):
    unit = _unit(size, "new_llms", "choices__alder_1")
    found = unit.function(**unit.arguments)
    assert [one["k"] for one in found] == [0, 5]
    assert len({one["blind"] for one in found}) == len({one["full"] for one in found}) == 1
    config = from_arguments(unit.arguments["config"], size.data)
    dataset = measure.split_given(config, 0, 0)
    test = dataset.labelled("test")
    new = dataset.data.llms.ids == "alder-1"
    assert found[0]["blind"] <= np.nanmax(np.where(new, np.nan, test.rewards), 1).mean()


def test_without_a_part_the_router_is_another(size):
    unit = _unit(size, "parts_default", "choices")
    found = unit.function(**unit.arguments | {"variants": {"no style": {"model.style": False}}})
    assert found["policies"].keys() == {"router", "no style"}
    assert found["policies"]["router"]["log_loss"] != found["policies"]["no style"]["log_loss"]


def test_of_new_users_policies_are_told_choices_alone(size):
    unit = _unit(size, "new_users", "multi")
    contest = measure._fit(unit.arguments["config"], unit.arguments["tuning"], 0, size)
    rewards = contest.history.rewards[contest.history.decisions.offered]
    assert ((rewards >= 0) & (rewards <= 1)).all()
    np.testing.assert_allclose(np.nansum(contest.history.rewards, 1), 1, rtol=1e-5)
    assert not [name for name in contest.policies if "true_preference" in name]
    whole = changed(from_arguments(unit.arguments["config"], size.data), {"data.split": "cold_query"})
    known = measure.fit_all(whole, measure.prepare_dataset(measure.cached_source(whole.data), whole.data, 0), 0, {})
    assert np.nansum(known.history.rewards, 1).std() > 0.1
