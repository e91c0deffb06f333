"""Results: the best trial by validation in a table, a plot and an experiment file equal to the trial's."""

import dataclasses
import json
import random
import re

import pytest
from sweep_cases import TEXTS, small_config

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig, with_values
from prouter_jax.search import grid
from prouter_jax.sweep.results import SweepResult, experiment_text, not_clearly_worse, rank, write_results
from prouter_jax.sweep.space import parse_space
from prouter_jax.sweep.trials import DONE, FAILED, PRUNED, SweepSpec, Trial

CONFIG = small_config()
SPACE = parse_space(TEXTS, CONFIG)
REWARDS = [[0.3, 0.4], [0.35, 0.37], [0.5, 0.52], [0.49, 0.53], [], []]
TRIALS = [
    Trial(n, values, DONE, rewards=one, seconds=10.0 + n)
    for n, (one, values) in enumerate(zip(REWARDS, grid(SPACE), strict=True))
]
TRIALS[4] = dataclasses.replace(TRIALS[4], state=FAILED, failures=2, reason="exit code 1: train: a | b")
TRIALS[5] = dataclasses.replace(TRIALS[5], state=PRUNED)


def _result(trials=TRIALS):
    return SweepResult("experiments/mine.py", SweepSpec(CONFIG, SPACE, "grid", 0), trials)


def _trial(number, *rewards):
    return Trial(number, {}, DONE, rewards=rewards)


def test_the_best_has_the_highest_mean_and_the_first_of_equals_wins():
    ranked = rank([_trial(0, 0.1, 0.9), _trial(1, 0.6, 0.6), _trial(2, 0.6, 0.6), Trial(3, {}, FAILED)])
    assert [trial.number for trial in ranked] == [1, 2, 0]
    assert [trial.reward for trial in ranked] == pytest.approx([0.6, 0.6, 0.5])


def test_who_is_not_clearly_worse_is_judged_seed_by_seed():
    best, always_a_little, sometimes_better = _trial(0, 0.5, 0.9), _trial(1, 0.48, 0.88), _trial(2, 0.6, 0.7)
    ranked = rank([best, always_a_little, sometimes_better])
    assert not_clearly_worse(ranked) == [sometimes_better]
    assert not_clearly_worse(rank([_trial(0, 0.5), _trial(1, 0.5)])) == []


def test_the_table_has_all_trials_best_first(tmp_path):
    lines = write_results(_result(), tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == ["002", "003", "001", "000", "004", "005"]
    assert "| 002 | 2 | 1 | 0.5100 ± 0.0141 | 12.0 | done |" in text
    assert r"| 004 | 3 | 1 | – | 14.0 | failed: exit code 1: train: a \| b |" in text  # noqa: RUF001
    assert "(results.png)" in text
    assert all(line in text for line in lines)
    assert lines[0].startswith(
        "Best of 4: trial 002, validation reward 0.5100 ± 0.0141 over 2 seeds (model.factor_dim=2"
    )
    assert "Behind it by no more than a standard error, paired by seed: trial 003." in lines
    assert {"Failed twice: trial 004.", "Given up because others did better: trial 005."} < set(lines)


def test_the_json_has_every_number(tmp_path):
    write_results(_result(), tmp_path)
    tree = json.loads((tmp_path / "results.json").read_text())
    assert (tree["best"], tree["search"], tree["experiment"]) == (2, "grid", "experiments/mine.py")
    assert [one["rewards"] for one in tree["trials"]] == REWARDS
    assert tree["trials"][1]["mean"] == pytest.approx(0.36)
    assert tree["trials"][1]["spread"] == pytest.approx(0.02 / 2**0.5)
    assert tree["space"][0] == {"path": "model.factor_dim", "values": [1, 2, 3]}
    assert tree["trials"][3]["values"] == {"model.factor_dim": 2, "model.query_kernel.noise": 10.0}
    assert tree["trials"][4]["reason"] == "exit code 1: train: a | b"
    assert tree["config"] == json.loads(configuration.to_json(CONFIG))
    assert tree["facts"]["commit"]


def test_the_best_experiment_is_the_trials_configuration(tmp_path):
    write_results(_result(), tmp_path)
    text = (tmp_path / "best.py").read_text()
    assert text.startswith('"""The best of 4 trials of a sweep of experiments/mine.py, on validation: trial 002.\n')
    assert f"prouter train --config={tmp_path}/best.py" in text.replace("\n", " ")
    names = {}
    exec(compile(text, "best.py", "exec"), names)
    expected = with_values(CONFIG, TRIALS[2].values)
    assert configuration.to_json(names["get_config"]()) == configuration.to_json(expected)


def test_the_plot_is_a_picture_and_the_same_again(tmp_path):
    write_results(_result(), tmp_path)
    first = (tmp_path / "results.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    write_results(_result(), tmp_path)
    assert (tmp_path / "results.png").read_bytes() == first
    other = [dataclasses.replace(TRIALS[0], rewards=[0.9, 0.9]), *TRIALS[1:]]
    write_results(_result(other), tmp_path)
    assert (tmp_path / "results.png").read_bytes() != first


def test_where_all_failed_there_is_no_best(tmp_path):
    lines = write_results(_result([dataclasses.replace(one, state=FAILED, rewards=[]) for one in TRIALS]), tmp_path)
    assert lines[0] == "No trial ended with a validation reward."
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.md"}
    assert json.loads((tmp_path / "results.json").read_text())["best"] is None


LETTERS = "abc '\"\\\n\t\u00e9\u2013\U0001f600/\x00{}%"


def _read(text):
    names = {}
    exec(compile(text, "best.py", "exec"), names)
    return names["get_config"]()


def test_it_looks_as_experiments_do():
    config = with_values(
        ExperimentConfig(name="Mine"), {"seeds": 3, "model.query_kernel.noise": 2.5, "model.style": False}
    )
    assert (
        experiment_text(config, "The best.\n\nCommand: x")
        == '''"""The best.

Command: x
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.name = "Mine"
    config.seeds = 3
    config.model.style = False
    config.model.query_kernel.noise = 2.5
    return config
'''
    )
    assert _read(experiment_text(ExperimentConfig(), "The defaults.")) == ExperimentConfig()


def _odd_experiments():
    rng = random.Random(0)
    for length in (0, 1, 5, *range(90, 104), 300):
        text = "".join(rng.choices(LETTERS, k=length))
        path = "".join(rng.choices("abc/ '\"", k=length))
        rate = rng.choice([3e16, 1e-5, 1 / 3, 1e22, 12345.678])
        config = with_values(ExperimentConfig(name=text), {"data.path": path, "model.query_kernel.noise": rate})
        yield config, f"The best of {text}\n\nCommand: {'/folder' * length}"


def test_any_text_and_number_comes_back():
    for config, docstring in _odd_experiments():
        assert _read(experiment_text(config, docstring)) == config
