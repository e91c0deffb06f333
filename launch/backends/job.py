"""`Job`, and the interface of the back ends that run it."""

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Protocol

PREEMPTED = 128 + 15  # exit code of a run that SIGTERM stopped, after it saved its state
BAD_INPUT = 1  # exit code that a retry would repeat


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
