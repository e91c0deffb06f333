"""Speed of a run's steps: sizes, operations, bytes and time in WORKDIR/speed.json, shown as facts of the report."""

import dataclasses
import pathlib

from prouter_jax.aot.cost import read_work
from prouter_jax.aot.units import format_bytes, format_count, format_seconds
from prouter_jax.io import files
from prouter_jax.training.profiling import Pace

SPEED = "speed.json"


@dataclasses.dataclass(frozen=True)
class Speed:
    """Sizes and costs of one run's training step.

    Attributes:
      parameters: number of them.
      parameter_bytes, optimizer_bytes: sizes in memory.
      flops: floating-point operations of a step on all devices of the first process, without those of library calls
        such as Cholesky.
      moved_bytes: bytes that a step reads and writes, on the same devices.
      uncounted: number of loops whose trip count the compiled text does not tell; they are counted once.
      seconds: median time of a step; None if the run did only one step, whose time includes compilation.
    """

    parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    flops: float
    moved_bytes: float
    uncounted: int
    seconds: float | None


def count_speed(pace: Pace) -> Speed:
    """Counts the work of a step in its compiled text; the time is the one that training measured."""
    work, runs = read_work(pace.text)
    return Speed(
        pace.parameters,
        pace.parameter_bytes,
        pace.optimizer_bytes,
        work.flops * pace.devices,
        work.hbm_bytes * pace.devices,
        len(runs.unknown),
        pace.seconds,
    )


def write_speed(speed: Speed, folder: pathlib.Path) -> None:
    """Writes folder/speed.json atomically."""
    files.write_sealed(folder / SPEED, dataclasses.asdict(speed))


def read_facts(folder: pathlib.Path) -> dict[str, str]:
    """`speed_facts` of folder/speed.json; empty without the file; the reason if the file is damaged."""
    if not (folder / SPEED).exists():
        return {}
    try:
        return speed_facts(Speed(**files.read_sealed(folder / SPEED)))
    except (ValueError, TypeError) as error:
        return {"a step": f"unknown: {error}"}


def speed_facts(speed: Speed) -> dict[str, str]:
    """Text for a report under the names "parameters" and "a step"."""
    size, optimizer = format_bytes(speed.parameter_bytes), format_bytes(speed.optimizer_bytes)
    least = "at least " if speed.uncounted else ""
    step = f"{least}{format_count(speed.flops)}flop, {format_bytes(speed.moved_bytes)} read and written"
    if speed.seconds is not None:
        step += f", {format_seconds(speed.seconds)} (median)"
    return {"parameters": f"{speed.parameters:,} ({size}; optimizer {optimizer})", "a step": step}
