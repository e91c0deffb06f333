"""Real processes over jax.distributed: 1, 2 and 4 train alike, and reach the same end whatever befalls them."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from processes import HANG, wait_for

from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.experiment import _read_experiment
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.run import CHECKPOINTS, make_run

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 40
CONFIG = [
    "--config=experiments/embedded.py",
    *("--config.data.encoder=hash", "--config.data.embedded.num_queries=120", "--config.data.embedded.num_users=48"),
    *("--config.data.embedded.decisions_per_user=25", "--config.model.factor_dim=2", "--config.model.warmup_rounds=2"),
    *("--config.train.users_per_step=16", "--config.train.eval_every_steps=6", "--config.train.patience=100"),
    *(f"--config.train.num_train_steps={STEPS}", "--config.mesh.data=4"),
]
pytestmark = pytest.mark.slow


def _start(workdir, number, environment=None, devices=4, flags=()):
    """All processes of a run, `devices` virtual devices in all."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    here = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices // number}"
    environment = os.environ | {"XLA_FLAGS": here} | (environment or {})
    processes = []
    for index in range(number):
        command = [sys.executable, "-m", "launch.train", *CONFIG, *flags, f"--workdir={workdir}", "--heartbeat=10"]
        if number > 1:
            command += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={number}", f"--process_id={index}"]
        with open(f"{workdir}.{index}.log", "a") as log:
            processes.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log))
    return processes


def _wait(processes):
    return [process.wait(HANG) for process in processes]


def _log(workdir):
    return "\n".join(path.read_text()[-2000:] for path in workdir.parent.glob(f"{workdir.name}.*.log"))


def _lines(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("step", "loss", "validation_reward")} for line in lines]


def _end(workdir):
    """The last state."""
    config = _read_experiment(workdir)
    run = make_run(config, prepare_dataset(read_source(config.data), config.data, config.seed))
    state, step, rejected = Checkpoints(workdir / CHECKPOINTS).restore_newest(run.abstract)
    assert (step, rejected) == (STEPS, [])
    return jax.tree.map(np.asarray, state)


def _assert_same_end(workdir, undisturbed):
    assert _lines(workdir) == _lines(undisturbed)
    jax.tree.map(np.testing.assert_array_equal, _end(workdir), _end(undisturbed))
    assert (workdir / "report" / "report.html").exists()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run of two processes with two devices each."""
    workdir = tmp_path_factory.mktemp("runs") / "two"
    assert _wait(_start(workdir, 2)) == [0, 0], _log(workdir)
    return workdir


@pytest.mark.parametrize("number", [1, 4])
def test_any_number_of_processes_trains_alike(undisturbed, tmp_path, number):
    workdir = tmp_path / "run"
    assert _wait(_start(workdir, number)) == [0] * number, _log(workdir)
    found, expected = _lines(workdir), _lines(undisturbed)
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for name in ("loss", "validation_reward"):
        np.testing.assert_allclose([x[name] for x in found], [x[name] for x in expected], rtol=1e-4)
    assert (workdir / "report" / "report.html").exists()


@pytest.mark.parametrize("users", [0, 16], ids=["all users", "minibatches"])
def test_gradient_steps_of_two_processes_are_those_of_one(tmp_path, users):
    tuned = [
        *("--config.model.preset=tuned", "--config.train.tuning_steps=4", "--config.train.num_train_steps=6"),
        *("--config.data.embedded.num_users=128", f"--config.train.users_per_step={users}"),
        *("--config.mesh.data=2", "--config.mesh.model=2"),
    ]
    found = []
    for number in (1, 2):
        workdir = tmp_path / str(number)
        assert _wait(_start(workdir, number, flags=tuned)) == [0] * number, _log(workdir)
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [6, 10]
        found.append([[lines[0]["loss"], lines[0]["validation_reward"]], [lines[1]["loss"], lines[1]["improvement"]]])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


def _wait_for_step(workdir, step, processes):
    def there():
        return (workdir / "metrics.jsonl").exists() and any(line["step"] >= step for line in _lines(workdir))

    wait_for(there, *processes)


@pytest.mark.parametrize("victim", [0, 1])
def test_sigterm_of_one_process_saves_all_and_the_same_command_goes_on(undisturbed, tmp_path, victim):
    workdir = tmp_path / "run"
    processes = _start(workdir, 2)
    _wait_for_step(workdir, 6, processes)
    processes[victim].send_signal(signal.SIGTERM)
    assert _wait(processes) == [143, 143], _log(workdir)
    assert "stopped by SIGTERM" in _log(workdir)
    assert _wait(_start(workdir, 2)) == [0, 0], _log(workdir)
    _assert_same_end(workdir, undisturbed)


@pytest.mark.parametrize("victim", [0, 1], ids=["coordinator", "other"])
def test_a_killed_process_ends_the_others_and_the_same_command_goes_on(undisturbed, tmp_path, victim):
    workdir = tmp_path / "run"
    processes = _start(workdir, 2)
    _wait_for_step(workdir, 12, processes)
    processes[victim].kill()
    codes = _wait(processes)
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] != 0, _log(workdir)
    assert _wait(_start(workdir, 2)) == [0, 0], _log(workdir)
    _assert_same_end(workdir, undisturbed)


def test_twenty_kills_at_random_moments(undisturbed, tmp_path):
    """Any process, at any moment: while it compiles, trains, saves or restores."""
    workdir, rng, kills = tmp_path / "run", random.Random(0), 0
    while kills < 20:
        processes = _start(workdir, 2)
        try:
            processes[rng.randrange(2)].wait(rng.uniform(1, 9))
        except subprocess.TimeoutExpired:
            processes[rng.randrange(2)].kill()
            kills += 1
        else:
            kills = 20  # it is done before it could be killed so often
        for process in processes:  # as the launcher does: a survivor never goes on
            process.kill()
            process.wait()
    assert _wait(_start(workdir, 2)) == [0, 0], _log(workdir)
    _assert_same_end(workdir, undisturbed)
