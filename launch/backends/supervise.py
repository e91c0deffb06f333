"""Keeps a job going: all of its processes are started again when one of them is lost, for none goes on alone."""

import signal
import sys
import time
from collections.abc import Callable

from .job import BAD_INPUT, PREEMPTED, Backend, Job, Running

_POLL = 0.1  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 300.0


def supervise(backend: Backend, job: Job, restarts: int, sleep: Callable[[float], None] = time.sleep) -> int:
    """Runs a job to its end; after a crash, again, at most `restarts` times, each time after a longer wait.

    A preempted run has saved its state: it is started again without being counted. Bad input is not tried again. On
    SIGTERM or SIGINT the job is asked to save and end, and so does this.

    Returns:
      the last exit code; `PREEMPTED` if this process was told to stop.
    """
    asked: list[int] = []
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in _ENDINGS}
    wait = _FIRST_WAIT
    try:
        while True:
            code = _run(backend.start(job), asked, sleep)
            if asked:
                return PREEMPTED
            if code in (0, BAD_INPUT) or (code != PREEMPTED and not restarts):
                return code
            restarts -= code != PREEMPTED
            print(f"{job.name}: exit code {code}; again in {wait:.0f} s, {restarts} restarts left", file=sys.stderr)
            _rest(wait, asked, sleep)
            if asked:
                return PREEMPTED
            wait = min(2 * wait, _LONGEST_WAIT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDINGS = (signal.SIGTERM, signal.SIGINT)


def _run(running: Running, asked: list[int], sleep: Callable[[float], None]) -> int:
    told = False
    while (code := running.poll()) is None:
        if asked and not told:
            running.stop()
            told = True
        sleep(_POLL)
    return code


def _rest(seconds: float, asked: list[int], sleep: Callable[[float], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not asked:
        sleep(_POLL)
