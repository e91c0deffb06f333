"""What the back ends on Google's machines share."""

import dataclasses
import math

from launch.backends.job import Job

# chips, or cores where the name counts these, of a slice's name
_NAMES = {"v5e": ("v5litepod", 1), "v5p": ("v5p", 2)}


@dataclasses.dataclass(frozen=True)
class Started:
    """A job that goes on elsewhere, or a tool that has already said how it ended."""

    code: int

    def poll(self) -> int:
        """What the tool ended with."""
        return self.code

    def stop(self) -> None:
        """The tool has ended."""


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


def check_workdir(job: Job) -> None:
    """Raises a ValueError unless the workdir is in a bucket: nothing on a worker's disk outlives it."""
    found = [argument for argument in job.command if argument.startswith("--workdir=")]
    if not found or not found[0].startswith("--workdir=gs://"):
        raise ValueError(f"--workdir: expected a bucket (gs://...) for TPU pods, found {' '.join(found) or 'none'}")
