"""A job is kept going: lost processes take the others with them, and all are started again, within bounds."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch.backends.job import PREEMPTED, Job
from launch.backends.local import LocalBackend
from launch.backends.supervise import supervise

ROOT = pathlib.Path(__file__).parents[1]


class _Script:
    """A back end whose runs end at once with the given codes."""

    def __init__(self, codes):
        self.codes = list(codes)

    def start(self, job):
        code = self.codes.pop(0)

        class Run:
            def poll(self):
                return code

            def stop(self): ...

        return Run()

    def plan(self, job):
        return ""


def _supervised(codes, restarts, tmp_path, monkeypatch):
    """The exit code, what was left to start, and the waits between starts."""
    waits = []
    monkeypatch.setattr("launch.backends.supervise._rest", lambda seconds, *_: waits.append(seconds))
    script = _Script(codes)
    code = supervise(script, Job("job", ["x"], tmp_path), restarts)
    return code, script.codes, waits


@pytest.mark.parametrize(
    ("codes", "restarts", "expected"),
    [
        ([0], 5, (0, [], [])),
        ([-9, 134, 0], 5, (0, [], [1, 2])),
        ([-9] * 9, 2, (-9, [-9] * 6, [1, 2])),
        ([1, 0], 5, (1, [0], [])),
        ([PREEMPTED, PREEMPTED, 0], 0, (0, [], [1, 2])),
        ([-9] * 12 + [0], 20, (0, [], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])),
    ],
    ids=["ends", "crashes", "bounded", "bad input", "preempted", "waits"],
)
def test_what_is_started_again(codes, restarts, expected, tmp_path, monkeypatch):
    assert _supervised(codes, restarts, tmp_path, monkeypatch) == expected


_CHILD = """
import os, pathlib, sys, time
me = sys.argv[-1].rpartition("=")[2]
folder = pathlib.Path(sys.argv[1])
(folder / f"{me}.{os.getpid()}").touch()
marks = len(list(folder.glob(f"{me}.*")))
time.sleep(60 if marks == 1 else 0)
"""


def _pids(folder, index):
    return [int(path.name.split(".")[1]) for path in folder.glob(f"{index}.*")]


def _wait_until(check):
    end = time.monotonic() + 20
    while not (found := check()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


_SUPERVISOR = """
import pathlib, sys
from launch.backends import local
from launch.backends.job import Job
from launch.backends.supervise import supervise
local._GRACE = 0.3
folder = pathlib.Path(sys.argv[1])
job = Job("job", [sys.executable, "-c", sys.argv[2], str(folder)], folder, 2)
sys.exit(supervise(local.LocalBackend(), job, 3))
"""


@pytest.fixture
def supervisor(tmp_path):
    """A supervisor of two processes that sleep, the second time not at all."""
    process = subprocess.Popen([sys.executable, "-c", _SUPERVISOR, str(tmp_path), _CHILD], cwd=ROOT)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_takes_the_other_along_and_both_come_again(supervisor, tmp_path, victim):
    first = [_wait_until(lambda index=index: _pids(tmp_path, index))[0] for index in (0, 1)]
    os.kill(first[victim], signal.SIGKILL)
    assert supervisor.wait(30) == 0
    assert [len(_pids(tmp_path, index)) for index in (0, 1)] == [2, 2]
    assert not any(map(_alive, first))


def test_a_supervisor_that_is_told_to_stop_hands_it_on_and_leaves_nobody(supervisor, tmp_path):
    first = [_wait_until(lambda index=index: _pids(tmp_path, index))[0] for index in (0, 1)]
    supervisor.terminate()
    assert supervisor.wait(30) == PREEMPTED
    assert not any(map(_alive, first))


def test_processes_are_told_of_each_other_and_log_apart(tmp_path):
    code = "import sys; print(sys.argv[1:])"
    running = LocalBackend().start(Job("job", [sys.executable, "-c", code], tmp_path, 2))
    assert _wait_until(lambda: running.poll() is not None)
    logs = [(tmp_path / f"log.{index}.txt").read_text() for index in (0, 1)]
    for index, log in enumerate(logs):
        assert f"'--num_processes=2', '--process_id={index}'" in log
    assert logs[0].split(",")[0] == logs[1].split(",")[0]
