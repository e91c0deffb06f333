"""What a test starts ends with it, in a session of its own too and when its parent has gone; help is light."""

import pathlib
import subprocess
import sys

import pytest
from processes import children, ending_children, run_help, wait_for

# starts a process in a session of its own, tells its number, and ends or stays
_PARENT = """
import subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
print(left.pid, flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("seconds", [0, 1000], ids=["its parent has gone", "its parent is there"])
def test_what_was_started_is_ended(seconds):
    known = children()
    with ending_children():
        parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(seconds)], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        left = int(parent.stdout.readline())
        if not seconds:
            parent.wait()
            assert children() - known == {left}
    assert children() == known
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in (parent.pid, left))
    parent.communicate()


def test_an_event_is_waited_for_as_long_as_the_process_is_at_work():
    with subprocess.Popen(["sleep", "1000"]) as process:
        turns = iter(["", "", "now"])
        assert wait_for(lambda: next(turns), process) == "now"
        process.kill()
        with pytest.raises(AssertionError, match="expected processes at work"):
            wait_for(lambda: False, process)


def test_help_that_loads_much_is_found():
    assert "--config" in run_help("launch.train")
    with pytest.raises(AssertionError):
        run_help("numpy.f2py")
