"""Weak scaling: the same number of users per chip on more and more chips.

A process of its own compiles for each topology, so that its memory is freed and a compiler that aborts ends only that
process. Nothing of an earlier scan is reused.
"""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from prouter_jax.aot.compiled import Forecast, times_of
from prouter_jax.aot.report import fits, users_per_second
from prouter_jax.aot.topology import Topology
from prouter_jax.aot.units import format_bytes, format_count, format_seconds
from prouter_jax.io.display import markdown_table
from prouter_jax.report.plots import BLUE, DARK, GREY, ORANGE, PALETTE, draw_png

COLUMNS = (
    *("chips", "topology", "users a call", "memory", "compute", "wire", "sent by each", "users a second"),
    *("efficiency", "fits"),
)
_PARALLEL = os.cpu_count() or 1  # The compiler keeps one core busy.
_STYLES = {"v5p": (BLUE, "o"), "v5e": (ORANGE, "s"), "tpu7x": (DARK, "^"), "v6e": (PALETTE[2], "D")}


@dataclasses.dataclass(frozen=True)
class Point:
    """One topology of a scan. Times and bytes are of one train step on one device.

    Attributes:
      users: users that a train step reads, on all chips.
      memory: bytes of the largest program on a device.
      compute: seconds of computation.
      wire: seconds of collectives.
      sent: bytes that a device sends.
      rate: users per second in training, on all chips.
      efficiency: users per second and chip, relative to the smallest topology that fits.
      fits: whether all programs fit in the memory of a device.
    """

    topology: Topology
    users: int
    memory: float
    compute: float
    wire: float
    sent: float
    rate: float
    efficiency: float
    fits: bool


def scan(
    topologies: Sequence[Topology], command: Callable[[Topology], list[str]], read: Callable[[Topology], list[Forecast]]
) -> list[Point]:
    """Compiles for each topology and reports progress on stderr.

    Args:
      topologies: from the smallest to the largest.
      command: returns the command line that compiles for a topology.
      read: returns the results that this command wrote.

    Returns:
      The points before the first topology that failed.

    Raises:
      ValueError: with the reason, if the first topology failed.
    """
    begun, done = time.monotonic(), []
    _log(f"{len(topologies)} topologies, {_PARALLEL} at a time")
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as workers:
        running = [workers.submit(_run, command(topology)) for topology in topologies]
        for topology, result in zip(topologies, (one.result() for one in running), strict=True):
            if result.returncode:
                workers.shutdown(wait=False, cancel_futures=True)
                message = f"{topology}: {_last_line(result)}"
                if not done:
                    raise ValueError(message)
                _log(f"{message}; the scan ends here")
                break
            done.append((topology, read(topology)))
            left = (time.monotonic() - begun) / len(done) * (len(topologies) - len(done))
            _log(f"{topology}, {len(done)} of {len(topologies)}, about {left:.0f} s left")
    return weak_scaling(done)


def weak_scaling(results: Sequence[tuple[Topology, Sequence[Forecast]]]) -> list[Point]:
    """The points of a scan; the first topology that fits is the reference of the efficiency."""
    reference = next((_rate_per_chip(*one) for one in results if fits(one[1])), 0.0)
    return [_point(topology, forecasts, reference) for topology, forecasts in results]


def table_lines(points: Sequence[Point]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [
        [f"{p.topology.chips:,}", str(p.topology), f"{p.users:,}", format_bytes(p.memory), format_seconds(p.compute),
         format_seconds(p.wire), format_bytes(p.sent), f"{p.rate:,.0f}", f"{100 * p.efficiency:.1f} %",
         "yes" if p.fits else "no"]
        for p in points
    ]  # fmt: skip
    return markdown_table(COLUMNS, rows).splitlines()


def draw_scan(scans: Mapping[str, Sequence[Point]]) -> bytes:
    """A PNG file of scans by kind of chip, in three panels: users per second, weak scaling, and parts of a step."""

    def draw(figure) -> None:
        rate, efficiency, parts = figure.subplots(1, 3)
        for kind, points in scans.items():
            points = [point for point in points if point.fits]
            if points:
                _draw_kind(rate, efficiency, parts, kind, points)
        _finish(rate, "Users per second", "all chips together (dotted: ideal)", format_count)
        _finish(efficiency, "Weak scaling", "users per second and chip, % of the smallest")
        _finish(parts, "One train step on one device", "time", format_seconds)
        efficiency.axhline(90, color=GREY, linewidth=1, linestyle="--")
        efficiency.set_ylim(0, 110)

    return draw_png(draw, 13, 4.2)


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _log(text: str) -> None:
    print(f"compile: {text}", file=sys.stderr, flush=True)


def _last_line(result: subprocess.CompletedProcess) -> str:
    """The last line of stderr that is not JAX's remark on tracebacks."""
    lines = [line for line in result.stderr.strip().splitlines() if line and "JAX_TRACEBACK_FILTERING" not in line]
    return lines[-1].removeprefix("compile: ") if lines else f"exit code {result.returncode}"


def _point(topology: Topology, forecasts: Sequence[Forecast], reference: float) -> Point:
    step = forecasts[0]
    times = times_of(step, topology)
    return Point(
        topology,
        step.users,
        memory=max(sum(one.memory.values()) for one in forecasts),
        compute=times.compute,
        wire=times.wire,
        sent=sum(one.wire_bytes * one.times for one in step.collectives),
        rate=users_per_second(forecasts, topology),
        efficiency=_rate_per_chip(topology, forecasts) / reference if reference else 0.0,
        fits=fits(forecasts),
    )


def _rate_per_chip(topology: Topology, forecasts: Sequence[Forecast]) -> float:
    return users_per_second(forecasts, topology) / topology.chips


def _draw_kind(rate, efficiency, parts, kind: str, points: Sequence[Point]) -> None:
    color, marker = _STYLES[kind]
    style = {"color": color, "marker": marker, "markersize": 4}
    chips = [point.topology.chips for point in points]
    rate.plot(chips, [point.rate for point in points], label=kind, **style)
    rate.plot(chips, [points[0].rate * n / chips[0] for n in chips], color=color, linestyle=":", linewidth=1)
    efficiency.plot(chips, [100 * point.efficiency for point in points], label=kind, **style)
    parts.plot(chips, [point.compute for point in points], label=f"{kind}: compute", **style)
    parts.plot(chips, [point.wire for point in points], label=f"{kind}: collectives", linestyle="--", **style)


def _finish(axes, title: str, label: str, form: Callable[[float], str] | None = None) -> None:
    """Titles and scales; with `form`, which writes its values, the vertical axis is logarithmic."""
    axes.set_title(title, loc="left")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if form:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: form(value))
        axes.yaxis.set_minor_formatter(lambda value, _: form(value) if f"{value:e}"[0] in "25" else "")
    axes.set_xlabel("chips")
    axes.set_ylabel(label)
    axes.grid()
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
