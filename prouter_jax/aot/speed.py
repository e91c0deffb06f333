"""How fast a run's steps were beside what this machine can do: WORKDIR/speed.json, a fact of the report."""

import dataclasses
import functools
import pathlib

from prouter_jax.aot import machine
from prouter_jax.aot.cost import read_work
from prouter_jax.aot.units import bytes_in_words, count_in_words, seconds_in_words
from prouter_jax.io import files
from prouter_jax.training.profiling import Pace

SPEED = "speed.json"


@dataclasses.dataclass(frozen=True)
class Speed:
    """Of one run.

    Attributes:
      flops, moved_bytes: of a step, on all devices of the first process; what library calls such as Cholesky compute
        is not in it.
      uncounted: loops whose rounds the compiled text does not tell; they are counted once.
      seconds: of a step, the median; None if only one was done, which was compiled.
      peak_flops, peak_bytes: the most a second, measured on what the first process computes with.
    """

    parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    flops: float
    moved_bytes: float
    uncounted: int
    seconds: float | None
    peak_flops: float
    peak_bytes: float


def measure_speed(pace: Pace) -> Speed:
    """Counts a step's work in its compiled text, and measures the machine the first time it is called."""
    work, runs = read_work(pace.text)
    flops, bandwidth = _peaks()
    # virtual CPU devices share one machine; of accelerators each has its own speed
    machines = 1 if pace.platform == "cpu" else pace.devices
    return Speed(
        pace.parameters,
        pace.parameter_bytes,
        pace.optimizer_bytes,
        work.flops * pace.devices,
        work.hbm_bytes * pace.devices,
        len(runs.unknown),
        pace.seconds,
        flops * machines,
        bandwidth * machines,
    )


def write_speed(speed: Speed, folder: pathlib.Path) -> None:
    """Writes folder/speed.json, whole."""
    files.write_sealed(folder / SPEED, dataclasses.asdict(speed))


def read_facts(folder: pathlib.Path) -> dict[str, str]:
    """What a report says of speed.json; nothing where there is none, and what is wrong with a damaged one."""
    if not (folder / SPEED).exists():
        return {}
    try:
        return in_words(Speed(**files.read_sealed(folder / SPEED)))
    except (ValueError, TypeError) as error:
        return {"a step": f"unknown: {error}"}


def in_words(speed: Speed) -> dict[str, str]:
    """In words: "parameters", "a step", and "share of peak" where a step's time is known."""
    size, state = bytes_in_words(speed.parameter_bytes), bytes_in_words(speed.optimizer_bytes)
    least = "at least " if speed.uncounted else ""
    work = f"{least}{count_in_words(speed.flops)}flop, {bytes_in_words(speed.moved_bytes)} read and written"
    found = {"parameters": f"{speed.parameters:,} ({size}; optimizer {state})", "a step": work}
    if speed.seconds is not None:
        found["a step"] += f", {seconds_in_words(speed.seconds)} (median)"
        found["share of peak"] = _shares(speed, speed.seconds)
    return found


def _shares(speed: Speed, seconds: float) -> str:
    computed, moved = (
        100 * done / seconds / peak
        for done, peak in ((speed.flops, speed.peak_flops), (speed.moved_bytes, speed.peak_bytes))
    )
    flops, bandwidth = count_in_words(speed.peak_flops), bytes_in_words(speed.peak_bytes)
    return f"{computed:.2g} % of {flops}flop/s, {moved:.2g} % of {bandwidth}/s, as measured here"


@functools.cache
def _peaks() -> tuple[float, float]:
    return machine.measure_flops(), machine.measure_bandwidth()
