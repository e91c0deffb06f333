"""Jobs on this machine: what they write and say, how they are asked to end, and that none joins another."""

import subprocess
import sys
import time

import pytest

from launch.backends.job import Job
from launch.backends.local import LocalBackend

# A process that starts a job and is killed before the job's end.
_KILLED = """
import os, pathlib, signal, sys
from launch.backends.job import Job
from launch.backends.local import LocalBackend
LocalBackend().start(Job("x", [sys.executable, "-c", "import time; time.sleep(1.5)"], pathlib.Path(sys.argv[1])))
os.kill(os.getpid(), signal.SIGKILL)
"""


def _python(folder, code, **environment):
    return Job("x", [sys.executable, "-c", code], folder, environment=environment)


def _wait(running):
    until = time.monotonic() + 30
    while running.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return running.poll()


def test_a_job_adds_to_its_log_with_its_environment_and_has_an_exit_code(tmp_path):
    code = "import os, sys; print(os.environ['A'], flush=True); print('bad', file=sys.stderr); sys.exit(3)"
    for value in ("first", "second"):
        assert _wait(LocalBackend().start(_python(tmp_path / "job", code, A=value))) == 3
    assert (tmp_path / "job" / "log.txt").read_text() == "first\nbad\nsecond\nbad\n"


def test_a_stopped_job_gets_a_signal_that_it_can_answer_and_so_does_what_it_started(tmp_path):
    inner = "import time; time.sleep(60)"
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
        f"inner = subprocess.Popen([sys.executable, '-c', {inner!r}])\n"
        "print(inner.pid, flush=True)\n"
        "inner.wait()\n"
        "signal.pause()\n"
    )
    running = LocalBackend().start(_python(tmp_path, code))
    log = tmp_path / "log.txt"
    while not log.read_text().endswith("\n"):
        time.sleep(0.02)
    running.stop()
    assert _wait(running) == 143
    assert log.read_text().splitlines()[1:] == ["saved"]
    running.stop()  # once more does no harm


def test_a_folder_has_one_job_at_a_time_though_who_started_it_was_killed(tmp_path):
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], timeout=60)
    assert killed.returncode == -9
    with pytest.raises(ValueError, match="expected a folder that no job is at, found one that runs"):
        LocalBackend().start(_python(tmp_path, "pass"))
    until = time.monotonic() + 30
    while True:
        try:
            running = LocalBackend().start(_python(tmp_path, "pass"))
        except ValueError:
            assert time.monotonic() < until
            time.sleep(0.1)
        else:
            break
    assert _wait(running) == 0


def test_jobs_start_together_or_not_at_all(tmp_path):
    first, taken, last = (_python(tmp_path / name, "import time; time.sleep(60)") for name in "abc")
    busy = LocalBackend().start(taken)
    with pytest.raises(ValueError, match="expected a folder that no job is at"):
        LocalBackend().start_all([first, taken, last])
    busy.stop()
    _wait(busy)
    again = LocalBackend().start_all([_python(tmp_path / "b", "pass"), _python(tmp_path / "c", "raise SystemExit(3)")])
    assert [_wait(one) for one in again] == [0, 3]
    assert not (tmp_path / "c" / "log.txt").read_text()
    _wait(LocalBackend().start(_python(tmp_path / "a", "pass")))  # the first was stopped, so its folder is free
