"""A local job shows its first process, and of a failure the line that says why."""

import sys

import processes
import pytest

from launch.backends.job import Job
from launch.backends.local import LocalBackend
from launch.backends.shown import ShownBackend, last_reason

_FAILING = """
import sys, time
if sys.argv[-1].endswith("=1"):
    print("train: table x.csv: expected rows, found none", file=sys.stderr)
    sys.exit(1)
print("step 1", flush=True)
time.sleep(0.5)
print("step 2", flush=True)
time.sleep(1000)
"""


def _end(backend, job):
    running = backend.start(job)
    processes.wait_for(lambda: running.poll() is not None)


def test_the_first_process_is_shown_and_a_log_of_before_is_not(tmp_path, capsys):
    job = Job("job", [sys.executable, "-c", "print('one'); print('two', end='')"], tmp_path)
    for _ in range(2):
        _end(ShownBackend(LocalBackend()), job)
        assert capsys.readouterr().out == "one\ntwo"
    assert (tmp_path / "log.txt").read_text() == "one\ntwoone\ntwo"


def test_of_a_failure_the_line_of_the_process_that_failed_is_told(tmp_path, capsys):
    job = Job("job", [sys.executable, "-c", _FAILING], tmp_path, 2)
    _end(ShownBackend(LocalBackend()), job)
    said = capsys.readouterr()
    assert said.out.startswith("step 1\n") or said.out == ""
    assert said.err.splitlines()[0] == "job: process 1: train: table x.csv: expected rows, found none"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (b"step 1\ntrain: table x: expected y, found z\n", "train: table x: expected y, found z"),
        (b"Traceback (most recent call last):\n  File x\nKeyError: 'a'\n\n", "KeyError: 'a'"),
        (b"jaxlib._jax.XlaRuntimeError: INTERNAL\nbye\n", "jaxlib._jax.XlaRuntimeError: INTERNAL"),
        (b"all is well\n", ""),
        (b"", ""),
    ],
)
def test_the_reason_in_a_log(log, reason):
    assert last_reason(log) == reason
