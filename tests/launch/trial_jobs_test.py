"""Trials as jobs: what is run, on which cores, and what a log says last."""

import os
import shutil
import sys

import pytest

from launch.trial_jobs import TrialJobs, TrialRun, compile_cache, core_shares, train_command
from prouter_jax.sweep.trials import Trial


class _Backend:
    """Keeps the jobs it is given; `codes` are what they end with, by name."""

    def __init__(self):
        self.jobs, self.codes, self.stopped = [], {}, []

    def start_all(self, jobs):
        self.jobs += jobs
        return [_Running(self, job.name) for job in jobs]


class _Running:
    def __init__(self, backend, name):
        self.backend, self.name = backend, name

    def poll(self):
        return self.backend.codes.get(self.name)

    def stop(self):
        self.backend.stopped.append(self.name)


def _command(values, folder):
    return ["run", str(folder), *map(str, values.values())]


def test_a_trial_is_launch_train_with_its_values_after_those_of_all(tmp_path):
    command = train_command("x.py", {"seeds": 3, "model.style": True}, {"model.query_kernel.noise": 1e-5}, tmp_path)
    assert command == [
        *(sys.executable, "-m", "launch.train", "--config=x.py", f"--workdir={tmp_path}"),
        *("--config.seeds=3", "--config.model.style=true", "--config.model.query_kernel.noise=1e-05"),
    ]


def test_a_job_has_the_trials_folder_and_the_environment(tmp_path):
    backend = _Backend()
    [run] = TrialJobs(backend, _command, {"A": "b"}, [])([(Trial(7, {"x": 1}), tmp_path)])
    [job] = backend.jobs
    assert (job.name, list(job.command), job.folder, job.processes) == (
        "trial-007",
        ["run", str(tmp_path), "False", "1"],
        tmp_path,
        1,
    )
    assert dict(job.environment) == {"A": "b"}
    assert run.poll() is None
    run.stop()
    assert backend.stopped == ["trial-007"]


def test_trials_that_run_at_a_time_have_cores_of_their_own(tmp_path):
    backend = _Backend()
    start = TrialJobs(backend, _command, {}, ["0,1", "2,3"])
    runs = start([(Trial(number, {}), tmp_path) for number in range(2)])
    backend.codes["trial-001"] = 0
    assert [run.poll() for run in runs] == [None, 0]
    runs += start([(Trial(2, {}), tmp_path)])
    backend.codes["trial-000"] = 1
    assert runs[0].poll() == 1
    start([(Trial(3, {}), tmp_path)])
    assert [job.command[:3] for job in backend.jobs] == [
        ["taskset", "-c", cores] for cores in ("0,1", "2,3", "2,3", "0,1")
    ]


@pytest.mark.parametrize(
    ("cores", "concurrency", "shares"),
    [
        (range(2), 1, []),
        (range(2), 2, ["0", "1"]),
        ((1, 3, 5, 7, 9), 2, ["1,3", "5,7"]),
        (range(2), 3, []),
    ],
)
def test_cores_are_shared_out_where_there_are_enough(monkeypatch, cores, concurrency, shares):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert core_shares(concurrency) == shares
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert core_shares(concurrency) == []


def test_the_cache_of_compilations_is_the_one_there_is_or_the_sweeps(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    assert compile_cache(tmp_path) == {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert compile_cache(tmp_path)["JAX_COMPILATION_CACHE_DIR"] == f"{tmp_path}/compiled"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("router: step 4\ntrain: no memory left\n", "train: no memory left"),
        ("train: bad\n\n  \n", "train: bad"),
        ("router: step 4\rrouter: step 5\r\ntrain: bad", "train: bad"),
        ("first\rstep 4\rstep 5", "step 5"),
        ("", "its log is empty"),
        (None, "its log is empty"),
    ],
)
def test_the_last_log_line_are_the_last_line_that_says_something(tmp_path, log, words):
    if log is not None:
        (tmp_path / "log.txt").write_text(log, newline="")
    assert TrialRun(_Running(_Backend(), "x"), tmp_path).last_log_line() == words
