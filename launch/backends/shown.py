"""A local job whose first process is shown while it runs, and of a failure the one line that matters."""

import pathlib
import re
import sys

from .job import PREEMPTED, Job
from .local import LocalBackend, LocalRun

# what a command says of bad input ("train: ..."), and the last line of a traceback
_REASON = re.compile(r"^(?:[\w.]+: \S|(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b)")
_LONGEST = 500  # characters of a line


class ShownBackend:
    """`LocalBackend` with the output of the first process on stdout.

    Args:
      backend: starts the jobs.
    """

    def __init__(self, backend: LocalBackend):
        self._backend = backend

    def start(self, job: Job) -> "ShownRun":
        """See `LocalBackend.start`."""
        logs = self._backend.logs(job)
        begins = [log.stat().st_size if log.exists() else 0 for log in logs]
        return ShownRun(job.name, self._backend.start(job), list(zip(logs, begins, strict=True)))

    def plan(self, job: Job) -> str:
        """See `LocalBackend.plan`."""
        return self._backend.plan(job)


class ShownRun:
    """A running job, see `job.Running`; `logs` are those of its processes, each with the byte where the job begins."""

    def __init__(self, name: str, running: LocalRun, logs: list[tuple[pathlib.Path, int]]):
        self._name, self._running, self._logs = name, running, logs
        self._shown = logs[0][1]

    def poll(self) -> int | None:
        """Prints the new lines of the first process; after a failure also why the process that failed first did."""
        code = self._running.poll()
        self._show(ended=code is not None)
        if code not in (None, 0, PREEMPTED):
            index = self._running.failed or 0
            reason = last_reason(_read(*self._logs[index]))
            print(f"{self._name}: process {index}: {reason or f'exit code {code}'}", file=sys.stderr, flush=True)
        return code

    def stop(self) -> None:
        """Asks it to end."""
        self._running.stop()

    def _show(self, ended: bool) -> None:
        new = _read(self._logs[0][0], self._shown)
        whole = len(new) if ended else new.rfind(b"\n") + 1
        if whole:
            sys.stdout.write(new[:whole].decode("utf-8", "replace"))
            sys.stdout.flush()
            self._shown += whole


def last_reason(log: bytes) -> str:
    """The last line of a log that says why its process ended; "" for none."""
    lines = [line.strip() for line in log.decode("utf-8", "replace").splitlines()]
    return next((line[:_LONGEST] for line in reversed(lines) if _REASON.match(line)), "")


def _read(log: pathlib.Path, begin: int) -> bytes:
    try:
        with open(log, "rb") as file:
            file.seek(begin)
            return file.read()
    except FileNotFoundError:
        return b""
