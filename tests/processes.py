"""Processes that tests start: none outlives its test, and no clock judges them.

A machine that does other things as well is slow, so a test waits for what happens: a file, a line, a process's end.
"""

import contextlib
import ctypes
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
HANG = 600.0  # seconds after which a wait is given up; only what hangs takes so long
_SECONDS_FOR_HELP = 2.0  # of the processor, not of the clock
_HELP = """
import runpy, sys
sys.argv = [{module!r}, "--help"]
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
finally:
    print(*{{"jax", "numpy", "openai", "pyarrow"}} & set(sys.modules), file=sys.stderr, end="")
"""
_KILLED = """
import os, runpy, signal, sys
left, folder, module = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1)
def watch(event, arguments):
    global left
    changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link")
    changes = changes or (event == "open" and set(str(arguments[1])) & set("wax+"))
    if changes and str(arguments[0]).startswith(folder):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(watch)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run(command, **options) -> subprocess.CompletedProcess:
    """Runs a command to its end, with what it writes as text."""
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": HANG} | options)


def run_help(module: str) -> str:
    """What `python -m MODULE --help` prints, at once: it loads nothing heavy and takes little of the processor."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run([sys.executable, "-c", _HELP.format(module=module)], cwd=ROOT)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < _SECONDS_FOR_HELP
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_killed(module: str, folder: pathlib.Path, changes: int, *flags: str) -> subprocess.CompletedProcess:
    """Runs `python -m MODULE FLAGS`, killed once it has made so many changes to files of a folder (Python's alone)."""
    return run([sys.executable, "-c", _KILLED, str(changes), str(folder), module, *flags], cwd=ROOT)


def wait_for(event, *processes: subprocess.Popen):
    """What `event()` returns once that is true; an error if one of the processes ends before."""
    until = time.monotonic() + HANG
    while True:
        ended = [process.args for process in processes if process.poll() is not None]
        if found := event():
            return found
        assert not ended, f"expected processes at work, found these at their end: {ended}"
        assert time.monotonic() < until, f"expected what is waited for, found nothing after {HANG:.0f} s"
        time.sleep(0.02)


def wait_for_signal(process: subprocess.Popen, number: signal.Signals) -> None:
    """Until a signal that was sent to a process has reached it."""

    def reached():
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        waiting = int(status.partition("ShdPnd:")[2].split()[0], 16)
        return not waiting >> (number - 1) & 1

    wait_for(reached, process)


def adopt_orphans() -> None:
    """From now on a process whose parent ends becomes a child of this one (Linux; elsewhere orphans get away)."""
    with contextlib.suppress(AttributeError):  # prctl(PR_SET_CHILD_SUBREAPER)
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


@contextlib.contextmanager
def ending_children() -> Iterator[None]:
    """Kills at its end all processes that were started within, and what these started.

    Orphans become children of this process once their parents are killed, so it is done again until there are none.
    """
    known = children()
    try:
        yield
    finally:
        while left := children() - known:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def children() -> set[int]:
    """The children of this process, ended ones that nobody has waited for among them."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # quick, and an error if there are none
        return {int(pid) for task in pathlib.Path("/proc/self/task").glob("*") for pid in _started_by(task)}
    return set()


def _started_by(task: pathlib.Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:  # the thread has ended
        return []
