"""Jobs on this machine: what they write and say, how they are asked to end, and that none joins another."""

import contextlib
import os
import sys

import processes
import pytest

from launch.backends.job import Job
from launch.backends.local import LocalBackend

# A process that starts a job and is killed before the job's end.
_KILLED = """
import os, pathlib, signal, sys
from launch.backends.job import Job
from launch.backends.local import LocalBackend
work = "import pathlib, time\\nwhile not pathlib.Path('end').exists(): time.sleep(0.02)"
LocalBackend().start(Job("x", [sys.executable, "-c", work], pathlib.Path.cwd()))
os.kill(os.getpid(), signal.SIGKILL)
"""


def _python(folder, code, **environment):
    return Job("x", [sys.executable, "-c", code], folder, environment=environment)


def _wait(running):
    processes.wait_for(lambda: running.poll() is not None)
    return running.poll()


def test_a_job_adds_to_its_log_with_its_environment_and_has_an_exit_code(tmp_path):
    code = "import os, sys; print(os.environ['A'], flush=True); print('bad', file=sys.stderr); sys.exit(3)"
    for value in ("first", "second"):
        assert _wait(LocalBackend().start(_python(tmp_path / "job", code, A=value))) == 3
    assert (tmp_path / "job" / "log.txt").read_text() == "first\nbad\nsecond\nbad\n"


def test_a_stopped_job_gets_a_signal_that_it_can_answer_and_so_does_what_it_started(tmp_path):
    inner = "import time; time.sleep(1000)"
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
    processes.wait_for(lambda: log.read_text().endswith("\n"))
    running.stop()
    assert _wait(running) == 143
    assert log.read_text().splitlines()[1:] == ["saved"]
    running.stop()  # once more does no harm


def test_a_folder_has_one_job_at_a_time_though_who_started_it_was_killed(tmp_path):
    killed = processes.run(
        [sys.executable, "-c", _KILLED], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(processes.ROOT)}
    )
    assert killed.returncode == -9
    with pytest.raises(ValueError, match="expected a folder without a running job, found one"):
        LocalBackend().start(_python(tmp_path, "pass"))
    (tmp_path / "end").touch()
    assert _wait(processes.wait_for(lambda: _start_if_free(_python(tmp_path, "pass")))) == 0


def _start_if_free(job):
    with contextlib.suppress(ValueError):
        return LocalBackend().start(job)


def test_jobs_start_together_or_not_at_all(tmp_path):
    first, taken, last = (_python(tmp_path / name, "import time; time.sleep(1000)") for name in "abc")
    busy = LocalBackend().start(taken)
    with pytest.raises(ValueError, match="expected a folder without a running job"):
        LocalBackend().start_all([first, taken, last])
    busy.stop()
    _wait(busy)
    again = LocalBackend().start_all([_python(tmp_path / "b", "pass"), _python(tmp_path / "c", "raise SystemExit(3)")])
    assert [_wait(one) for one in again] == [0, 3]
    assert not (tmp_path / "c" / "log.txt").read_text()
    _wait(LocalBackend().start(_python(tmp_path / "a", "pass")))  # the first was stopped, so its folder is free
