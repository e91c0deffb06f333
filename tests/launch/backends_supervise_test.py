"""A job is kept going: lost processes take the others with them, and all are started again, within bounds."""

import os
import pathlib
import signal
import subprocess
import sys
import types

import processes
import pytest

from launch.backends.job import PREEMPTED, Job, supervise
from launch.backends.local import LocalBackend

ROOT = pathlib.Path(__file__).parents[2]


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
    monkeypatch.setattr("launch.backends.job._rest", lambda seconds, *_: waits.append(seconds))
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
time.sleep(1000 if marks == 1 else 0)
"""


def _pids(folder, index):
    return [int(path.name.split(".")[1]) for path in folder.glob(f"{index}.*")]


def _alive(pid):
    """Whether it runs; one that nobody has reaped yet does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


_SUPERVISOR = """
import pathlib, sys
from launch.backends import local
from launch.backends.job import Job
from launch.backends.job import supervise
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
    first = [processes.wait_for(lambda index=index: _pids(tmp_path, index))[0] for index in (0, 1)]
    os.kill(first[victim], signal.SIGKILL)
    assert supervisor.wait(processes.HANG) == 0
    assert [len(_pids(tmp_path, index)) for index in (0, 1)] == [2, 2]
    assert not any(map(_alive, first))


_LEAVES_ONE = """
import pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
if not list(folder.glob("left.*")):
    # as multiprocessing does, it hands all files on
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], close_fds=False)
    (folder / f"left.{left.pid}").touch()
    time.sleep(1000)
"""


def test_what_a_killed_process_had_started_goes_with_it(tmp_path):
    command = [sys.executable, "-c", _SUPERVISOR, str(tmp_path), _LEAVES_ONE]
    supervisor = subprocess.Popen(command, cwd=ROOT)
    left = processes.wait_for(lambda: _pids(tmp_path, "left"))[0]
    os.kill(os.getpgid(left), signal.SIGKILL)
    assert supervisor.wait(processes.HANG) == 0
    assert not _alive(left)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(("exit(1)", "exit(1)"), 1), (("exit(1)", "exit(70)"), 70), (("exit(143)", "exit(143)"), 143), (("0", "0"), 0)],
)
def test_a_crash_that_others_took_for_bad_input_is_a_crash(ends, expected, tmp_path):
    code = "; ".join(["import sys", f"{ends[0]} if '--process_id=0' in sys.argv else {ends[1]}"])
    running = LocalBackend().start(Job("job", [sys.executable, "-c", code], tmp_path, 2))
    for process in running._processes:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # both have ended, and neither was asked yet
    assert running.poll() == expected


# The second process is ready for a signal before the first one ends; it goes on until it has saved.
_STUBBORN = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def wait(name):
    while not (folder / name).exists():
        time.sleep(0.02)
if "--process_id=0" in sys.argv:
    wait("ready")
    sys.exit(int(sys.argv[2]))
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
(folder / "ready").touch()
wait("saved")
"""


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    """A job of which one process has ended with a code, the other's log, and a clock that the test sets."""
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("launch.backends.local.time", clock)

    def start(code):
        command = [sys.executable, "-c", _STUBBORN, str(tmp_path), str(code)]
        running = LocalBackend().start(Job("job", command, tmp_path, 2))
        os.waitid(os.P_PID, running._processes[0].pid, os.WEXITED | os.WNOWAIT)
        assert running.poll() is None
        return running, tmp_path / "log.1.txt", clock

    return start


def test_the_others_are_told_of_a_crash_and_killed_if_they_go_on(stubborn):
    running, log, clock = stubborn(3)
    processes.wait_for(lambda: log.read_text() == "told\n")
    assert running.poll() is None
    clock.now = 11.0
    processes.wait_for(lambda: running.poll() is not None)
    assert running.poll() == 3


def test_the_others_are_left_to_save_at_a_preemption(stubborn, tmp_path):
    running, log, clock = stubborn(PREEMPTED)
    clock.now = 59.0
    assert running.poll() is None
    (tmp_path / "saved").touch()
    processes.wait_for(lambda: running.poll() is not None)
    assert running.poll() == PREEMPTED
    assert log.read_text() == ""


def test_a_supervisor_that_is_told_to_stop_hands_it_on_and_leaves_nobody(supervisor, tmp_path):
    first = [processes.wait_for(lambda index=index: _pids(tmp_path, index))[0] for index in (0, 1)]
    supervisor.terminate()
    assert supervisor.wait(processes.HANG) == PREEMPTED
    assert not any(map(_alive, first))


def test_processes_are_told_of_each_other_and_log_apart(tmp_path):
    code = "import sys; print(sys.argv[1:])"
    running = LocalBackend().start(Job("job", [sys.executable, "-c", code], tmp_path, 2))
    assert processes.wait_for(lambda: running.poll() is not None)
    logs = [(tmp_path / f"log.{index}.txt").read_text() for index in (0, 1)]
    for index, log in enumerate(logs):
        assert f"'--num_processes=2', '--process_id={index}'" in log
    assert logs[0].split(",")[0] == logs[1].split(",")[0]
