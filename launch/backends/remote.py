"""Parts of both Google Cloud back ends: the running tool, TPU names, checks of a job."""

import math
import os
import signal
import subprocess
from collections.abc import Sequence

from .job import Job, is_secret

# chips, or cores where the name counts these, of a slice's name
_NAMES = {"v5e": ("v5litepod", 1), "v5p": ("v5p", 2), "v6e": ("v6e", 1)}


class Started:
    """A running command-line tool (xpk, gcloud) that runs the job elsewhere."""

    def __init__(self, command: Sequence[str]):
        self._tool = subprocess.Popen(command, start_new_session=True)

    def poll(self) -> int | None:
        """The tool's exit code, None while it runs."""
        return self._tool.poll()

    def stop(self) -> None:
        """Sends SIGTERM to the tool and its child processes."""
        if self._tool.poll() is None:
            os.killpg(self._tool.pid, signal.SIGTERM)


def tpu_name(topology: str) -> str:
    """Google's name of a slice, v5p-128 for v5p:4x4x4.

    Raises:
      ValueError: if it is no known kind and shape.
    """
    kind, _, shape = topology.partition(":")
    sizes = shape.split("x")
    if kind not in _NAMES or not all(size.isdigit() and int(size) for size in sizes):
        raise ValueError(f"--topology: expected a kind among {', '.join(_NAMES)} and a shape, found {topology!r}")
    name, cores = _NAMES[kind]
    return f"{name}-{math.prod(map(int, sizes)) * cores}"


def check(job: Job) -> None:
    """Checks that a job can run on other machines.

    Raises:
      ValueError: if the workdir is not in a bucket, for nothing on a worker's disk outlives it; or if a variable is a
        secret, which all who may list processes or workloads would read.
    """
    found = [argument for argument in job.command if argument.startswith("--workdir=")]
    if not found or not found[0].startswith("--workdir=gs://"):
        raise ValueError(f"--workdir: expected a bucket (gs://...) for TPU pods, found {' '.join(found) or 'none'}")
    for name in filter(is_secret, job.environment):
        raise ValueError(f"environment: expected no secrets for TPU pods, found {name}")
