"""Restarts a job after a crash: all of its processes, since none can continue without the others."""

import signal
import sys
import time
from collections.abc import Callable

from .job import BAD_INPUT, PREEMPTED, Backend, Job, Running

_POLL = 0.1  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 300.0


def supervise(backend: Backend, job: Job, restarts: int, sleep: Callable[[float], None] = time.sleep) -> int:
    """Runs a job to its end and restarts it after crashes, each time after a longer wait.

    A preempted run has saved its state: its restart does not count. Bad input is not retried. On SIGTERM or SIGINT the
    job gets SIGTERM, saves and ends, and this function returns.

    Args:
      restarts: maximum number of restarts.

    Returns:
      the last exit code; `PREEMPTED` after SIGTERM or SIGINT.
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
    stopped = False
    while (code := running.poll()) is None:
        if asked and not stopped:
            running.stop()
            stopped = True
        sleep(_POLL)
    return code


def _rest(seconds: float, asked: list[int], sleep: Callable[[float], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not asked:
        sleep(_POLL)
