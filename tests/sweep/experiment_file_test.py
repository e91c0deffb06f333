"""The written experiment: the same configuration again, in a file that ruff finds nothing wrong with."""

import pathlib
import random
import shutil
import subprocess
import sys

import pytest

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.experiment_file import experiment_text
from prouter_jax.sweep.fields import with_values

ROOT = pathlib.Path(__file__).parents[2]
LETTERS = "abc '\"\\\n\t\u00e9\u2013\U0001f600/\x00{}%"


def _read(text):
    names = {}
    exec(compile(text, "best.py", "exec"), names)
    return names["get_config"]()


def test_it_looks_as_experiments_do():
    config = with_values(ExperimentConfig(name="Mine"), {"seeds": 3, "model.near.noise": 2.5, "model.style": False})
    assert (
        experiment_text(config, ["The best.", "", "Command: x"])
        == '''"""The best.

Command: x
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.name = "Mine"
    config.seeds = 3
    config.model.style = False
    config.model.near.noise = 2.5
    return config
'''
    )
    assert _read(experiment_text(ExperimentConfig(), ["The defaults."])) == ExperimentConfig()


def _odd_experiments():
    rng = random.Random(0)
    for length in (0, 1, 5, *range(90, 104), 300):
        text = "".join(rng.choices(LETTERS, k=length))
        path = "".join(rng.choices("abc/ '\"", k=length))
        rate = rng.choice([3e16, 1e-5, 1 / 3, 1e22, 12345.678])
        yield with_values(ExperimentConfig(name=text), {"data.path": path, "model.near.noise": rate}), [
            f"The best of {text}", "", f"Command: {'/folder' * length}", "word " * length,
        ]  # fmt: skip


def test_any_text_and_number_comes_back():
    for config, docstring in _odd_experiments():
        assert _read(experiment_text(config, docstring)) == config


def test_ruff_finds_nothing_wrong(tmp_path):
    ruff = shutil.which("ruff", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    for number, (config, docstring) in enumerate(_odd_experiments()):
        (tmp_path / f"best_{number}.py").write_text(experiment_text(config, docstring))
    for command in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", f"--config={ROOT}/pyproject.toml", tmp_path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
