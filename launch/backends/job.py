"""`Job`, the interface of the back ends that run it, and restarts of a job after a crash.

All processes of a job are restarted together, since none can continue without the others.
"""

import dataclasses
import pathlib
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

PREEMPTED = 128 + 15  # exit code of a run that SIGTERM stopped, after it saved its state
BAD_INPUT = 1  # exit code that a retry would repeat

_POLL = 0.1  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 300.0


@dataclasses.dataclass(frozen=True)
class Job:
    """A command for a back end.

    Attributes:
      folder: of its logs.
      processes: number of processes that run the command as one job; train gets their number and addresses as flags.
      environment: environment variables besides those of this process.
    """

    name: str
    command: Sequence[str]
    folder: pathlib.Path
    processes: int = 1
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name is a key or a password."""
    return re.search("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", name.upper()) is not None


def shown(environment: Mapping[str, str]) -> list[str]:
    """NAME=VALUE of each variable, quoted for a shell; values of secrets are masked."""
    return [f"{name}={'***' if is_secret(name) else shlex.quote(value)}" for name, value in environment.items()]


class Running(Protocol):
    """A running job."""

    def poll(self) -> int | None:
        """The exit code, None while it runs; 0 only if all of its processes ended with 0."""
        ...

    def stop(self) -> None:
        """Asks it to end."""
        ...


class Backend(Protocol):
    """A place where jobs run."""

    def start(self, job: Job) -> Running:
        """Starts a job.

        Raises:
          ValueError: in one line, if it cannot be started.
        """
        ...

    def plan(self, job: Job) -> str:
        """The commands and files of `start`, as text; nothing is started or written."""
        ...


class ManyBackend(Backend, Protocol):
    """A place where many small jobs can be started together."""

    def start_all(self, jobs: Sequence[Job]) -> Sequence[Running]:
        """Starts all of them, or none.

        Raises:
          ValueError: in one line, if one cannot be started.
        """
        ...


def supervise(backend: Backend, job: Job, restarts: int, sleep: Callable[[float], None] = time.sleep) -> int:
    """Runs a job to its end and restarts it after crashes, each time after a longer wait.

    A preempted run has saved its state: its restart does not count. Bad input is not retried. On SIGTERM or SIGINT the
    job gets SIGTERM, saves and ends, and this function returns.

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
