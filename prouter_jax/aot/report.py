"""Weak scaling: the same users for each chip on more and more chips, each topology compiled by a process of its own.

One process could compile for all of them; processes of their own give back their memory, and outlive a compiler that
aborts. Nothing of an earlier scan is read.
"""

import concurrent.futures
import dataclasses
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from prouter_jax.aot.collectives import Collective
from prouter_jax.aot.lower import Measured, Times, times_of
from prouter_jax.aot.topology import HOP_SECONDS, Topology
from prouter_jax.aot.units import bytes_in_words, count_in_words, seconds_in_words
from prouter_jax.report.plots import BLUE, DARK, GREY, ORANGE


def report_lines(measured: Sequence[Measured], topology: Topology, mesh_shape: dict[str, int]) -> list[str]:
    """The whole report of one topology; all numbers are of one chip but users a second and hours."""
    chip = topology.chip
    axes = " x ".join(f"{name} {size}" for name, size in mesh_shape.items())
    lines = [
        f"{topology}: {topology.chips:,} chips, mesh {axes}",
        f"  a chip: {bytes_in_words(chip.hbm)} of HBM at {chip.hbm_bandwidth / 1e9:,.0f} GB/s, "
        f"{chip.peak_flops / 1e12:,.0f} TFLOP/s, {chip.clock / 1e9} GHz; a link of ICI {chip.ici_link / 1e9:,.0f} GB/s "
        f"one way and {seconds_in_words(HOP_SECONDS)} a hop, DCN {chip.dcn / 1e9:.3g} GB/s, its delay not counted",
    ]
    for one in measured:
        lines += ["", *_program_lines(one, topology)]
    return [*lines, "", *_verdict(measured, topology)]


def epoch_seconds(measured: Sequence[Measured], topology: Topology) -> float:
    """Of all calls that an epoch has."""
    return sum(one.calls * times_of(one, topology).total for one in measured)


def users_a_second(measured: Sequence[Measured], topology: Topology) -> float:
    """Users that training reads, on all chips together; 0 where the compiler refused."""
    seconds = epoch_seconds(measured, topology)
    return max(one.users * one.calls for one in measured) / seconds if seconds else 0.0


def fits(measured: Sequence[Measured]) -> bool:
    """Whether every program, alone, has room in a chip's memory."""
    return all(one.fits for one in measured)


def _program_lines(one: Measured, topology: Topology) -> list[str]:
    often = f"{one.calls:,g} {'call' if one.calls == 1 else 'calls'} an epoch" if one.calls else "no part of an epoch"
    lines = [f"{one.name}: {one.users:,} users a call, {often}; compiled in {one.compile_seconds:.1f} s"]
    lines += _memory_lines(one, topology)
    if one.refusal:
        return lines
    times = times_of(one, topology)
    lines.append(
        f"  work: {count_in_words(one.work.flops)}FLOP, {bytes_in_words(one.work.hbm_bytes)} from and to HBM, "
        f"{count_in_words(one.work.cycles)}cycles"
    )
    lines += _wire_lines(one)
    return [*lines, *_time_lines(one, times)]


def _memory_lines(one: Measured, topology: Topology) -> list[str]:
    parts = ", ".join(f"{kind} {bytes_in_words(size)}" for kind, size in one.memory.items())
    hbm = bytes_in_words(topology.chip.hbm)
    if one.refusal:
        return [f"  memory by shapes: {parts}", f"  does not fit in {hbm}: {one.refusal}"]
    total = bytes_in_words(sum(one.memory.values()))
    return [f"  memory: {parts}", f"    in all {total}: {'fits' if one.fits else 'does not fit'} in {hbm}"]


def _wire_lines(one: Measured) -> list[str]:
    alike: dict[Collective, int] = {}
    for collective in one.collectives:
        alike[collective] = alike.get(collective, 0) + 1
    if not alike:
        return ["  collectives: none"]
    lines = ["  collectives: kind, axis, group, bytes of one x how often, sent, time"]
    for c, number in alike.items():
        times = c.times * number
        lines.append(
            f"    {c.kind} over {c.axes}, {c.group:,} {'slices' if c.axes == 'slices' else 'chips'} by {c.network}: "
            f"{bytes_in_words(c.bytes)} x {times:,g}, {bytes_in_words(c.wire_bytes * times)}, "
            f"{seconds_in_words(c.seconds * times)}"
        )
    return lines


def _time_lines(one: Measured, times: Times) -> list[str]:
    lines = [
        f"  time: compute {seconds_in_words(times.compute)} by {times.by}, ICI {seconds_in_words(times.ici)}, "
        f"DCN {seconds_in_words(times.dcn)}; {one.users / times.total:,.0f} users a second"
    ]
    if one.work.blind:
        blind = ", ".join(f"{times:,g} {what}" for what, times in sorted(one.work.blind.items()))
        lines.append(f"    no cycles are known for {blind}: taken to be as fast as HBM, so this may be too little")
    if one.unknown_loops:
        lines.append(f"  {one.unknown_loops} loops are counted once: the text does not say how often they go round")
    return lines


def _verdict(measured: Sequence[Measured], topology: Topology) -> list[str]:
    if not fits(measured):
        return [f"does not fit {topology}"]
    seconds, rate = epoch_seconds(measured, topology), users_a_second(measured, topology)
    hours = f"{seconds / 3600:.2g} hours ({seconds_in_words(seconds)})"
    return [f"fits {topology}: {rate:,.0f} users a second in training, {hours} for an epoch"]


HEAD = (
    *("chips", "topology", "users a call", "memory", "compute", "wire", "sent by a chip", "users a second"),
    *("efficiency", "fits"),
)

_AT_ONCE = os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Point:
    """One topology of a scan; times and bytes are those of the first program, the train step, for one chip and call.

    Attributes:
      efficiency: users a second of each chip, over those of the smallest topology.
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
    topologies: Sequence[Topology], command: Callable[[Topology], list[str]], read: Callable[[Topology], list[Measured]]
) -> list[Point]:
    """Compiles for each topology and says how it goes on stderr.

    Args:
      command: that measures a topology; read: what it has written.

    Returns:
      the points up to the first topology that failed.

    Raises:
      ValueError: with the reason of the first command, if it failed.
    """
    begun, found = time.monotonic(), []
    _say(f"{len(topologies)} topologies, {_AT_ONCE} at a time")
    # the compiler keeps one core busy
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as workers:
        running = [workers.submit(_run, command(topology)) for topology in topologies]
        for topology, result in zip(topologies, (one.result() for one in running), strict=True):
            if result.returncode:
                workers.shutdown(wait=False, cancel_futures=True)
                message = f"{topology}: {_why(result)}"
                if not found:
                    raise ValueError(message)
                _say(f"{message}; the scan ends here")
                break
            found.append((topology, read(topology)))
            left = (time.monotonic() - begun) / len(found) * (len(topologies) - len(found))
            _say(f"{topology}, {len(found)} of {len(topologies)}, about {left:.0f} s left")
    return weak_scaling(found)


def weak_scaling(found: Sequence[tuple[Topology, Sequence[Measured]]]) -> list[Point]:
    """The points of a scan, of which the first topology is the smallest."""
    first = next((_rate_of_a_chip(*one) for one in found if fits(one[1])), 0.0)
    return [_point(topology, measured, first) for topology, measured in found]


def table_lines(points: Sequence[Point]) -> list[str]:
    """The scan as a table in Markdown."""
    rows = [" | ".join(HEAD), " | ".join(["---"] * len(HEAD))]
    for p in points:
        cells = [f"{p.topology.chips:,}", str(p.topology), f"{p.users:,}", bytes_in_words(p.memory)]
        cells += [seconds_in_words(p.compute), seconds_in_words(p.wire), bytes_in_words(p.sent)]
        cells += [f"{p.rate:,.0f}", f"{100 * p.efficiency:.1f} %", "yes" if p.fits else "no"]
        rows.append(" | ".join(cells))
    return [f"| {row} |" for row in rows]


def _run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _say(text: str) -> None:
    print(f"compile: {text}", file=sys.stderr, flush=True)


def _why(result: subprocess.CompletedProcess) -> str:
    """The last line of an error that is none of JAX's remarks on tracebacks."""
    lines = [line for line in result.stderr.strip().splitlines() if line and "JAX_TRACEBACK_FILTERING" not in line]
    return lines[-1].removeprefix("compile: ") if lines else f"exit code {result.returncode}"


def _point(topology: Topology, measured: Sequence[Measured], first: float) -> Point:
    step = measured[0]
    times = times_of(step, topology)
    return Point(
        topology,
        step.users,
        memory=max(sum(one.memory.values()) for one in measured),
        compute=times.compute,
        wire=times.wire,
        sent=sum(one.wire_bytes * one.times for one in step.collectives),
        rate=users_a_second(measured, topology),
        efficiency=_rate_of_a_chip(topology, measured) / first if first else 0.0,
        fits=fits(measured),
    )


def _rate_of_a_chip(topology: Topology, measured: Sequence[Measured]) -> float:
    return users_a_second(measured, topology) / topology.chips


_LOOKS = {"v5p": (BLUE, "o"), "v5e": (ORANGE, "s")}


def draw_scan(scans: Mapping[str, Sequence[Point]]) -> bytes:
    """A PNG of the scans by kind of chip, with one panel for each of three questions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rate, efficiency, parts = figure.subplots(1, 3)
    for kind, points in scans.items():
        points = [point for point in points if point.fits]
        if points:
            _draw_kind(rate, efficiency, parts, kind, points)
    _finish(rate, "Users a second", "all chips together (dotted: ideal)", "log")
    _finish(efficiency, "Weak scaling", "users a second of a chip, % of the smallest", "linear")
    _finish(parts, "A train step of a chip", "seconds", "log")
    efficiency.axhline(90, color=GREY, linewidth=1, linestyle="--")
    efficiency.set_ylim(0, 110)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _draw_kind(rate, efficiency, parts, kind: str, points: Sequence[Point]) -> None:
    color, marker = _LOOKS[kind]
    look = {"color": color, "marker": marker, "markersize": 4}
    chips = [point.topology.chips for point in points]
    rate.plot(chips, [point.rate for point in points], label=kind, **look)
    rate.plot(chips, [points[0].rate * n / chips[0] for n in chips], color=color, linestyle=":", linewidth=1)
    efficiency.plot(chips, [100 * point.efficiency for point in points], label=kind, **look)
    parts.plot(chips, [point.compute for point in points], label=f"{kind}: compute", **look)
    parts.plot(chips, [point.wire for point in points], label=f"{kind}: on the wire", linestyle="--", **look)


def _finish(axes, title: str, label: str, scale: str) -> None:
    axes.set_title(title, loc="left", color=DARK)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_yscale(scale)
    axes.set_xlabel("chips")
    axes.set_ylabel(label)
    axes.grid(color="#E6E8EB")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
