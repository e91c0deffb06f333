"""Text report of the programs that were compiled for one topology."""

from collections.abc import Sequence

from prouter_jax.aot.collectives import Collective
from prouter_jax.aot.compiled import Forecast, Times, times_of
from prouter_jax.aot.topology import HOP_SECONDS, Topology
from prouter_jax.aot.units import format_bytes, format_count, format_seconds


def report_lines(forecasts: Sequence[Forecast], topology: Topology, mesh_shape: dict[str, int]) -> list[str]:
    """The report of one topology. All numbers of a program are per device, except users per second and hours.

    Args:
      forecasts: the train step first.
      topology: the devices that the programs are compiled for.
      mesh_shape: length of each mesh axis.
    """
    chip = topology.chip
    count = f"{topology.chips:,} chips" + ("" if chip.devices == 1 else f" of {chip.devices} devices")
    axes = " x ".join(f"{name} {size}" for name, size in mesh_shape.items())
    lines = [
        f"{topology}: {count}, mesh {axes}",
        f"  a chip: {format_bytes(chip.hbm)} of HBM at {chip.hbm_bandwidth / 1e9:,.0f} GB/s, "
        f"{chip.peak_flops / 1e12:,.0f} TFLOP/s, {chip.clock / 1e9} GHz; a link of ICI {chip.ici_link / 1e9:,.0f} GB/s "
        f"one way and {format_seconds(HOP_SECONDS)} a hop, DCN {chip.dcn / 1e9:.3g} GB/s, its latency not counted",
    ]
    for one in forecasts:
        lines += ["", *_program_lines(one, topology)]
    return [*lines, "", *_verdict(forecasts, topology)]


def epoch_seconds(forecasts: Sequence[Forecast], topology: Topology) -> float:
    """Time of all calls of an epoch."""
    return sum(one.calls * times_of(one, topology).total for one in forecasts)


def users_per_second(forecasts: Sequence[Forecast], topology: Topology) -> float:
    """Users that training reads per second on all devices; 0 if the compiler refused the programs."""
    seconds = epoch_seconds(forecasts, topology)
    return max(one.users * one.calls for one in forecasts) / seconds if seconds else 0.0


def fits(forecasts: Sequence[Forecast]) -> bool:
    """Whether each program on its own fits in the memory of a device."""
    return all(one.fits for one in forecasts)


def _program_lines(one: Forecast, topology: Topology) -> list[str]:
    often = f"{one.calls:,g} {'call' if one.calls == 1 else 'calls'} an epoch" if one.calls else "no part of an epoch"
    lines = [f"{one.name}: {one.users:,} users a call, {often}; compiled in {one.compile_seconds:.1f} s"]
    lines += _memory_lines(one, topology)
    if one.refusal:
        return lines
    lines.append(
        f"  work: {format_count(one.work.flops)}FLOP, {format_bytes(one.work.hbm_bytes)} from and to HBM, "
        f"{format_count(one.work.cycles)}cycles"
    )
    return [*lines, *_collective_lines(one, topology), *_time_lines(one, times_of(one, topology))]


def _memory_lines(one: Forecast, topology: Topology) -> list[str]:
    parts = ", ".join(f"{kind} {format_bytes(size)}" for kind, size in one.memory.items())
    hbm = format_bytes(topology.device.hbm)
    if one.refusal:
        return [f"  memory by shapes: {parts}", f"  does not fit in {hbm}: {one.refusal}"]
    total = format_bytes(sum(one.memory.values()))
    return [f"  memory: {parts}", f"    in all {total}: {'fits' if one.fits else 'does not fit'} in {hbm}"]


def _collective_lines(one: Forecast, topology: Topology) -> list[str]:
    """A line for each distinct collective, with its number of runs."""
    number: dict[Collective, int] = {}
    for collective in one.collectives:
        number[collective] = number.get(collective, 0) + 1
    if not number:
        return ["  collectives: none"]
    lines = ["  collectives: kind, axis, group, bytes of one x runs, sent, time"]
    for c, equal in number.items():
        times, members = c.times * equal, "slices" if c.axes == "slices" else topology.unit
        lines.append(
            f"    {c.kind} over {c.axes}, {c.group:,} {members} by {c.network}: "
            f"{format_bytes(c.bytes)} x {times:,g}, {format_bytes(c.wire_bytes * times)}, "
            f"{format_seconds(c.seconds * times)}"
        )
    return lines


def _time_lines(one: Forecast, times: Times) -> list[str]:
    lines = [
        f"  time: compute {format_seconds(times.compute)} by {times.by}, ICI {format_seconds(times.ici)}, "
        f"DCN {format_seconds(times.dcn)}; {one.users / times.total:,.0f} users a second"
    ]
    if one.work.uncosted:
        names = ", ".join(f"{runs:,g} {name}" for name, runs in sorted(one.work.uncosted.items()))
        lines.append(f"    the compiler gives no cycles for {names}: they count by HBM bandwidth, a lower bound")
    if one.unknown_loops:
        lines.append(f"  {one.unknown_loops} loops are counted once: the text does not tell their trip counts")
    return lines


def _verdict(forecasts: Sequence[Forecast], topology: Topology) -> list[str]:
    if not fits(forecasts):
        return [f"does not fit {topology}"]
    seconds, rate = epoch_seconds(forecasts, topology), users_per_second(forecasts, topology)
    hours = f"{seconds / 3600:.2g} hours ({format_seconds(seconds)})"
    return [f"fits {topology}: {rate:,.0f} users a second in training, {hours} for an epoch"]
