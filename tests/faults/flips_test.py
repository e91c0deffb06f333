"""Flipped bytes, lost, swapped and foreign files of a workdir: refused, or the same scores.

`python -m tests.faults flips` flips every byte.
"""

import copy
import json
import shutil

import pytest
from faults.flips import Damaged, flip, replace, sample

from prouter_jax import Router
from prouter_jax.experiment import train_experiment
from prouter_jax.serving.updates import update


@pytest.fixture(scope="module")
def workdirs(experiment, experiment_workdir, tmp_path_factory):
    """A router with two updates, the same with one, and one of another seed with two."""
    home = tmp_path_factory.mktemp("damaged")
    other = copy.deepcopy(experiment)
    other.seed = 1
    train_experiment(other, home / "other seed")
    shutil.copytree(experiment_workdir, home / "run")
    llms = Router.load(experiment_workdir).llms
    for number in range(2):
        feedback = home / f"{number}.jsonl"
        rows = [{"user_id": f"w{number}", "query": f"What is {row}?", "llm": llms[row]} for row in range(3)]
        feedback.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for name in ("run", "other seed"):
            update(home / name, feedback)
        if not number:
            shutil.copytree(home / "run", home / "earlier")
    return home


def _check(damaged: Damaged) -> None:
    assert not damaged.wrong, "\n".join(damaged.wrong)
    assert min(damaged.ended["refused"], damaged.ended["same scores"]) > 0


@pytest.mark.slow
def test_flips(workdirs):
    _check(flip(workdirs / "run", sample(workdirs / "run", 500)))


@pytest.mark.slow
def test_other_files(workdirs, tmp_path):
    others = {name: workdirs / name for name in ("other seed", "earlier")}
    _check(replace(workdirs / "run", others, tmp_path, 30))
