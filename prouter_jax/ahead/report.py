"""What was measured of a topology, as text for people."""

from collections.abc import Sequence

from prouter_jax.ahead.collectives import Collective
from prouter_jax.ahead.measure import Measured, Times, times_of
from prouter_jax.ahead.quantity import bytes_in_words, count_in_words, seconds_in_words
from prouter_jax.ahead.topology import HOP_SECONDS, Topology


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
