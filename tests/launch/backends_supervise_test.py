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
    """Whether it runs; one that nobody has reaped yet does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


_LEAVES_ONE = """
import pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
if not list(folder.glob("left.*")):
    # as multiprocessing does, it hands all files on
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    (folder / f"left.{left.pid}").touch()
    time.sleep(60)
"""


def test_what_a_killed_process_had_started_goes_with_it(tmp_path):
    command = [sys.executable, "-c", _SUPERVISOR, str(tmp_path), _LEAVES_ONE]
    supervisor = subprocess.Popen(command, cwd=ROOT)
    left = _wait_until(lambda: _pids(tmp_path, "left"))[0]
    os.kill(os.getpgid(left), signal.SIGKILL)
    assert supervisor.wait(30) == 0
    assert not _alive(left)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(("exit(1)", "exit(1)"), 1), (("exit(1)", "exit(70)"), 70), (("exit(143)", "exit(143)"), 143), (("0", "0"), 0)],
)
def test_a_crash_that_others_took_for_bad_input_is_a_crash(ends, expected, tmp_path):
    code = "; ".join(["import sys", f"{ends[0]} if '--process_id=0' in sys.argv else {ends[1]}"])
    running = LocalBackend().start(Job("job", [sys.executable, "-c", code], tmp_path, 2))
    time.sleep(1)  # both have ended
    assert running.poll() == expected


_STUBBORN = """
import signal, sys, time
if "--process_id=0" in sys.argv:
    time.sleep(0.5)
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
end = time.monotonic() + 4
while time.monotonic() < end:
    time.sleep(0.1)
"""


@pytest.mark.parametrize(("code", "log"), [(3, "told\n"), (PREEMPTED, "")])
def test_the_others_are_told_of_a_crash_and_left_to_save_at_a_preemption(code, log, tmp_path, monkeypatch):
    monkeypatch.setattr("launch.backends.local._GRACE", 0.5)
    running = LocalBackend().start(Job("job", [sys.executable, "-c", _STUBBORN, str(code)], tmp_path, 2))
    begun = time.monotonic()
    _wait_until(lambda: running.poll() is not None)
    assert running.poll() == code
    assert (tmp_path / "log.1.txt").read_text() == log
    assert (time.monotonic() - begun > 4) == (code == PREEMPTED)


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
