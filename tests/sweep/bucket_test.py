"""A sweep with its workdir in a bucket has the results of one on a disk; logs are on this machine."""

import dataclasses
import json
import os
import pathlib
import sys

import processes
import pytest
from bucket_server import Bucket
from sweep_cases import TEXTS, Jobs, make_study, small_config

from launch.backends.local import LocalBackend
from launch.trial_jobs import TrialJobs, logs_folder, train_command
from prouter_jax import config as configuration
from prouter_jax.config import with_values
from prouter_jax.experiment import run_experiment
from prouter_jax.io import locks
from prouter_jax.io.paths import files_below, make_path
from prouter_jax.sweep import study
from prouter_jax.sweep.results import SweepResult, write_results
from prouter_jax.sweep.space import parse_space
from prouter_jax.sweep.study import Stopped, run_trials
from prouter_jax.sweep.trials import SweepSpec, Trial, TrialStore


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(study, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(study, "_REMOTE_POLL_SECONDS", 0.0)


def _outcomes(trials):
    return [(trial.number, dict(trial.values), trial.state, list(trial.rewards), trial.failures) for trial in trials]


@pytest.mark.parametrize("scheme", ["file", "bucket"])
@pytest.mark.parametrize("more", [{}, {"name": "optuna", "trials": 12}])
def test_trials_in_a_bucket_end_as_on_a_disk_also_if_it_is_stopped_in_between(bucket, tmp_path, more, scheme):
    config = small_config()
    whole = run_trials(make_study(tmp_path / "here", Jobs(config, failures={1: 1, 3: 5}), **more))
    place = bucket if scheme == "bucket" else (tmp_path / "there").as_uri()
    workdir, jobs = f"{place}/sweep", Jobs(config, failures={1: 1, 3: 5})
    looks = iter([*[False] * 4, True])
    with pytest.raises(Stopped):
        run_trials(make_study(workdir, jobs, **more), lambda: next(looks))
    assert any(name.endswith("/trial.json") for name in files_below(make_path(workdir)))
    assert _outcomes(run_trials(make_study(workdir, jobs, **more))) == _outcomes(whole)
    again = Jobs(config)
    assert _outcomes(run_trials(make_study(workdir, again, **more))) == _outcomes(whole)
    assert again.started == []


class _Ended:
    def poll(self):
        return 0

    def stop(self):
        raise AssertionError("it has ended")

    def last_log_line(self):
        return ""


@pytest.mark.slow
def test_real_runs_are_compared_and_the_results_are_in_the_bucket(experiment, bucket, tmp_path):

    def start(trials):
        for trial, folder in trials:
            run_experiment(with_values(experiment, trial.fields), folder)
        return [_Ended() for _ in trials]

    jobs, found, texts = Jobs(experiment), {}, ["model.query_kernel.noise=2,20"]
    for workdir in (tmp_path / "here", make_path(f"{bucket}/sweep")):
        trials = run_trials(dataclasses.replace(make_study(workdir, jobs, texts), start=start))
        spec = SweepSpec(experiment, parse_space(texts, experiment), "grid", 0)
        result = SweepResult("experiments/x.py", spec, trials)
        found[workdir] = write_results(result, workdir), [trial.rewards for trial in trials]
    here, there = found.values()
    assert here == there
    tree = json.loads((workdir / "results.json").read_text())
    assert (workdir / "results.png").read_bytes().startswith(b"\x89PNG")
    assert (workdir / "results.md").read_text().startswith("# Sweep")
    text = (workdir / "best.py").read_text()
    module = {}
    exec(text, module)
    best = workdir / "trials" / f"{tree['best']:03d}" / "experiment.json"
    assert configuration.to_json(module["get_config"]()) == best.read_text()
    command = "prouter train --config=best.py --workdir=runs/best"
    assert f"Command, once this file is copied from gs://bucket/sweep: {command}" in text.replace("\n", " ")


def test_a_bucket_is_of_one_sweep_and_of_one_process(bucket, monkeypatch):
    monkeypatch.setattr(locks, "_LIFETIME", 0.3)
    config = small_config()
    space = parse_space(TEXTS, config)
    spec = SweepSpec(config, space, "grid", 0)
    store = TrialStore(f"{bucket}/sweep")
    with store.locked(spec):
        assert list(Bucket.store) == ["/bucket/sweep/sweep.lock.1", "/bucket/sweep/sweep.json"]
        with (
            pytest.raises(ValueError, match=r"^gs://bucket/sweep: expected a sweep that is not running"),
            TrialStore(f"{bucket}/sweep").locked(spec),
        ):
            pass
    with pytest.raises(ValueError, match=r"^gs://bucket/sweep: expected the sweep it was begun with"):
        store.check(SweepSpec(config, space, "grid", 1))


def test_logs_are_of_this_machine_and_the_run_is_in_the_bucket(bucket, tmp_path):
    workdir = make_path(f"{bucket}/sweep")
    logs = logs_folder(workdir, str(tmp_path / "logs"))

    def command(values, folder):
        return [sys.executable, "-c", f"print({train_command('x.py', {}, values, folder)[-2]!r})"]

    start = TrialJobs(LocalBackend(), command, {}, [], logs)
    trial = Trial(7, {})
    [running] = start([(trial, TrialStore(workdir).folder(trial))])
    processes.wait_for(lambda: running.poll() is not None)
    assert running.poll() == 0
    assert running.last_log_line() == "--workdir=gs://bucket/sweep/trials/007"
    assert (tmp_path / "logs" / "007" / "log.txt").exists()
    assert not Bucket.store


def test_a_folder_for_logs_is_named_for_a_bucket_and_for_nothing_else(bucket, tmp_path):
    assert logs_folder(tmp_path, None) is None
    for workdir, logs, message in (
        (
            make_path(bucket),
            None,
            "^--logs: expected a local folder, as --workdir is in a bucket, found none$",
        ),
        (tmp_path, "logs", "^--logs: expected none unless --workdir is in a bucket, found logs$"),
        (make_path(bucket), f"{bucket}/logs", "^gs://bucket/logs: expected a folder of this machine for --logs"),
    ):
        with pytest.raises(ValueError, match=message):
            logs_folder(workdir, logs)


# launch.sweep with the bucket of its own process, so trials run in it as well
_COMMAND = """
import os, sys
from bucket_server import Bucket, serve_bucket
with serve_bucket() as os.environ["TENSORSTORE_GCS_HTTP_URL"]:
    from launch import entry, sweep
    from launch.backends.local import LocalBackend
    from prouter_jax.experiment import run_experiment
    from prouter_jax.io.paths import make_path
    from prouter_jax.config import with_values

    class Ended:
        poll = lambda self: 0

    def start_all(self, jobs):
        for job in jobs:
            print("job:", job.command[-1], job.folder)
            values = {"model.factor_dim": int(job.command[-1].partition("=")[2]), "train.refit": False}
            workdir = next(part for part in job.command if part.startswith("--workdir=")).partition("=")[2]
            run_experiment(with_values(sweep._CONFIG.value, values), workdir)
        return [Ended() for _ in jobs]

    LocalBackend.start_all = start_all
    try:
        entry.start(sweep.main)
    finally:
        print("bucket:", *sorted(name for name in Bucket.store if name.count("/") < 4))
"""


def test_the_command_leaves_everything_but_logs_in_the_bucket(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    tiny = {"num_tasks": 3, "num_queries": 100, "num_llms": 4, "num_users": 6, "decisions_per_user": 20}
    command = [sys.executable, "-c", _COMMAND, f"--config={root}/experiments/embedded.py", "--config.data.encoder=hash"]
    command += [f"--config.data.embedded.{name}={value}" for name, value in tiny.items()]
    command += ["--config.train.num_train_steps=12", "--sweep=model.factor_dim=2", "--workdir=gs://bucket/sweep"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    for logs, code in (([], 1), ([f"--logs={tmp_path}/logs"], 0)):
        done = processes.run([*command, *logs], cwd=tmp_path, env=environment)
        assert done.returncode == code, done.stderr
        if code:
            assert "--logs: expected a local folder, as --workdir is in a bucket" in done.stderr
    lines = done.stdout.splitlines()
    assert f"job: --config.model.factor_dim=2 {tmp_path}/logs/000" in lines
    assert "results: gs://bucket/sweep/results.md" in lines
    assert "best experiment: gs://bucket/sweep/best.py" in lines
    names = ("best.py", "results.json", "results.md", "results.png", "sweep.json")
    assert lines[-1] == " ".join(["bucket:", *(f"/bucket/sweep/{name}" for name in names)])
    assert list(tmp_path.iterdir()) == []
