"""Locks of processes: one holder at a time, also a process that is killed; nothing is left behind."""

import subprocess
import sys

import pytest

from prouter_jax.io.locks import Busy, lock

_HOLD = """
import pathlib, sys, time
from prouter_jax.io.locks import lock
with lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_has_one_holder_and_leaves_no_file(tmp_path):
    path = tmp_path / "folder" / "a.lock"
    for _ in range(2):
        with lock(path):
            assert path.exists()
            with pytest.raises(Busy, match=r"a\.lock"), lock(path):
                pass
            assert path.exists()
        assert not path.exists()


def test_a_killed_process_frees_its_lock(tmp_path):
    path = tmp_path / "a.lock"
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Busy), lock(path):
            pass
    finally:
        process.kill()
        process.communicate()
    with lock(path):
        pass
