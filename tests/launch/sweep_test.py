"""launch.sweep: help at once, what is wrong in one line before anything starts, commands on demand, and real sweeps."""

import importlib.util
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys

import processes
import pytest

from prouter_jax import config as configuration

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = "--config=experiments/embedded.py"


def _run(*arguments):
    return processes.run([sys.executable, *arguments], cwd=ROOT)


def _sweep(workdir, *arguments):
    return _run("-m", "launch.sweep", f"--workdir={workdir}", *arguments)


def test_help_comes_at_once():
    code = "import sys, launch.sweep; assert not {'jax', 'numpy'} & set(sys.modules)"
    assert _run("-c", code).returncode == 0
    said = processes.run_help("launch.sweep")
    assert all(text in said for text in ("prouter sweep --config", "--workdir:", "--sweep:", "--trials:"))


LIST = "--sweep=model.factor_dim=4,8"
WRONG = {
    "no config": ([LIST], "--config: expected"),
    "no space": ([CONFIG], "--sweep: expected at least one FIELD=VALUES"),
    "unknown field": ([CONFIG, "--sweep=model.nope=1,2"], "--sweep=model.nope=1,2: expected a field of config.model"),
    "wrong type": ([CONFIG, "--sweep=model.factor_dim=4,b"], "expected a whole number, found 'b'"),
    "out of range": (
        [CONFIG, "--sweep=model.factor_dim=4,999"],
        "config.model.factor_dim: expected a value in [0, 256]",
    ),
    "reversed": (
        [CONFIG, "--sweep=model.query_kernel.noise=9:1", "--trials=2"],
        "expected a low end below the high end",
    ),
    "log of 0": ([CONFIG, "--sweep=model.query_kernel.text=0:1:log", "--trials=2"], "expected a low end above 0"),
    "no number": ([CONFIG, "--sweep=model.query_kernel.text=0:1"], "--trials: expected a number from 1 to"),
    "grid of a range": ([CONFIG, "--sweep=model.query_kernel.text=0:1", "--search=grid"], "found a range"),
    "no such search": ([CONFIG, LIST, "--search=luck"], "--search"),
    "no such back end": ([CONFIG, LIST, "--backend=abacus"], "--backend"),
    "nothing at a time": ([CONFIG, LIST, "--concurrency=0"], "--concurrency"),
    "wrong override": ([CONFIG, LIST, "--config.train.folds=1"], "config.train.folds: expected"),
    "both": (
        [CONFIG, LIST, "--config.model.factor_dim=4"],
        "--config.model.factor_dim: expected fields that are not swept",
    ),
    "not a flag": ([CONFIG, LIST, "more"], "more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(tmp_path, name):
    arguments, expected = WRONG[name]
    done = _sweep(tmp_path / "run", *arguments)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert expected in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_prints_the_commands_and_does_nothing(tmp_path):
    parts = '--sweep=model.without=,"history,tasks"'
    done = _sweep(tmp_path / "run", CONFIG, parts, "--sweep=model.style=true,false", "--config.seeds=3", "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "run").exists()
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"trial 00{number}" for number in range(4)]
    first = [
        sys.executable,
        "-m",
        "launch.train",
        CONFIG,
        f"--workdir={tmp_path}/run/trials/000",
        "--config.seeds=3",
        "--config.train.refit=false",
    ]
    assert shlex.split(lines[0])[2:] == [*first, "--config.model.without=", "--config.model.style=true"]
    assert shlex.split(lines[3])[-2:] == ["--config.model.without=history,tasks", "--config.model.style=false"]


def test_random_trials_are_those_of_their_seed_however_many_there_are(tmp_path):
    ranges = ["--sweep=model.query_kernel.noise=1:100:log", "--sweep=model.factor_dim=2:9", "--dry_run"]
    few, many = (_sweep(tmp_path, CONFIG, *ranges, f"--trials={n}").stdout.splitlines() for n in (3, 6))
    assert many[:3] == few
    assert len(set(many)) == 6
    others = _sweep(tmp_path, CONFIG, *ranges, "--trials=3", "--seed=1").stdout.splitlines()
    assert not set(others) & set(many)


def test_a_dry_run_of_a_guided_search_says_what_is_not_known_yet(tmp_path):
    done = _sweep(
        tmp_path, CONFIG, "--sweep=model.query_kernel.noise=1:9", "--search=optuna", "--trials=5", "--dry_run"
    )
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.splitlines()
    assert "--config.model.query_kernel.noise=" in first
    assert rest == "4 more, whose values depend on earlier results"


# ---- Real runs of launch.train on a tiny experiment, two at a time.

TINY = [
    "--config.data.encoder=hash", "--config.data.embedded.num_tasks=3", "--config.data.embedded.num_queries=100",
    "--config.data.embedded.num_llms=4", "--config.data.embedded.num_users=6", "--config.seeds=2",
    "--config.data.embedded.decisions_per_user=20", "--config.model.warmup_rounds=2",
    "--config.train.num_train_steps=12", "--concurrency=2", "--backend=local",
]  # fmt: skip
GRID = ["--sweep=model.factor_dim=1,2", "--sweep=model.query_kernel.noise=2,20"]


def _start(workdir, *arguments):
    command = [sys.executable, "-m", "launch.sweep", f"--workdir={workdir}", CONFIG, *TINY, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process):
    out, err = process.communicate(timeout=processes.HANG)
    return process.returncode, out, err


def _results(workdir):
    tree = json.loads((workdir / "results.json").read_text())
    return tree["best"], [(one["values"], one["state"], one["rewards"], one["failures"]) for one in tree["trials"]]


def _alive(workdir):
    """Processes that have the folder in their command."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.parent.name] if str(workdir) in path.read_text() else []
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_where_an_undisturbed_one_ends(tmp_path):
    code, out, err = _finish(_start(tmp_path / "whole", *GRID))
    assert code == 0, err
    assert out.splitlines()[-1] == f"best experiment: {tmp_path}/whole/best.py"
    stopped = tmp_path / "stopped"
    for number, ended in ((signal.SIGTERM, 0), (signal.SIGINT, 1)):
        process = _start(stopped, *GRID)
        metrics = stopped / "trials" / f"00{2 * ended}" / "seed_1" / "metrics.jsonl"
        processes.wait_for(metrics.exists, process)
        process.send_signal(number)
        code, _, err = _finish(process)
        assert code == 128 + number, err
        assert err.splitlines()[-1] == "sweep: stopped; the same command resumes it"
        assert not (stopped / "results.md").exists()
        assert _alive(stopped) == []
    code, _, err = _finish(_start(stopped, *GRID))
    assert code == 0, err
    assert _results(stopped) == _results(tmp_path / "whole")
    assert any("resumed from step" in path.read_text() for path in stopped.glob("trials/*/log.txt"))
    logs = {path: path.read_text() for path in stopped.glob("trials/*/log.txt")}
    code, _, err = _finish(_start(stopped, *GRID))
    assert (code, err) == (0, "sweep: 4 of 4 trials have ended in an earlier run\n")
    assert {path: path.read_text() for path in logs} == logs
    _check_best(stopped)


def _check_best(workdir):
    """The written experiment is the best trial's configuration, but trains on all in the end; launch.train reads it."""
    spec = importlib.util.spec_from_file_location("best", workdir / "best.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    best, _ = _results(workdir)
    found, trial = module.get_config(), workdir / "trials" / f"{best:03d}"
    assert found.train.refit
    found.train.refit = False
    assert configuration.to_json(found) == (trial / "experiment.json").read_text()
    done = _run(
        *("-m", "launch.train", f"--config={workdir}/best.py", f"--workdir={trial}", "--config.train.refit=false")
    )
    assert done.returncode == 0, done.stderr  # the same workdir takes no other configuration


@pytest.mark.slow
def test_runs_of_a_sweep_that_was_killed_are_not_joined_by_others(tmp_path):
    process = _start(tmp_path, *GRID)
    processes.wait_for((tmp_path / "trials" / "000" / "experiment.json").exists, process)
    process.kill()
    process.communicate()
    left = [int(number) for number in _alive(tmp_path)]
    assert left
    for number in left:
        os.kill(number, signal.SIGSTOP)  # so that they do not end before the next sweep looks
    code, _, err = _finish(_start(tmp_path, *GRID))
    for number in left:
        os.kill(number, signal.SIGCONT)
    assert code == 1
    assert "expected a folder without a running job, found one" in err.splitlines()[-1]
    processes.wait_for(lambda: not _alive(tmp_path))
    code, _, err = _finish(_start(tmp_path, *GRID))
    assert code == 0, err
    assert [one[1] for one in _results(tmp_path)[1]] == ["done"] * 4


@pytest.mark.slow
def test_a_trial_that_fails_twice_is_reported_and_the_others_are_compared(tmp_path):
    code, out, err = _finish(_start(tmp_path / "run", "--sweep=mesh.data=1,4096"))
    assert code == 1
    assert err.splitlines()[-1].startswith("sweep: trial 001: exit code 1: train: config.mesh: expected at most")
    assert "trial 001 failed and is started once more" in err
    assert "Best of 1: trial 000" in out
    assert "Failed twice: trial 001." in out
