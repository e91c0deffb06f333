"""Jobs as processes of this machine, through the interface that all back ends have: start, poll, stop."""

import dataclasses
import fcntl
import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

LOG = "log.txt"
_HELD = "job.lock"


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that runs by itself.

    Attributes:
      folder: where its log is written.
      processes: how many of the command run as one job.
      environment: variables besides those of this process.
    """

    name: str
    command: Sequence[str]
    folder: pathlib.Path
    processes: int = 1
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Running(Protocol):
    """A job under way."""

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        ...

    def stop(self) -> None:
        """Asks it to end."""
        ...


class Backend(Protocol):
    """A place where jobs run."""

    def start(self, job: Job) -> Running:
        """Starts a job."""
        ...


class LocalBackend:
    """This machine; jobs of one process."""

    def start(self, job: Job) -> "LocalRun":
        """Starts a job, which adds to FOLDER/log.txt.

        Raises:
          ValueError: if a job that was started by another process is still at work in the folder.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        # the job inherits the lock and holds it to its end, also if this process is killed
        with open(job.folder / _HELD, "ab") as held, open(job.folder / LOG, "ab") as log:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{job.folder}: expected a folder that no job is at, found one that runs") from None
            # a session of its own: Ctrl-C is for this process, which then asks the job to end
            process = subprocess.Popen(
                job.command,
                env={**os.environ, **job.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[held.fileno()],
            )
        return LocalRun(process)


class LocalRun:
    """A process of this machine, with those that it started."""

    def __init__(self, process: subprocess.Popen):
        self._process = process

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Asks it to end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
