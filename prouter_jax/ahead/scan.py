"""Weak scaling: the same users for each chip on more and more chips, each topology compiled by a process of its own.

One process could compile for all of them; processes of their own give back their memory, and outlive a compiler that
aborts. Nothing of an earlier scan is read.
"""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from prouter_jax.ahead.measure import Measured, times_of
from prouter_jax.ahead.quantity import bytes_in_words, seconds_in_words
from prouter_jax.ahead.report import fits, users_a_second
from prouter_jax.ahead.topology import Topology

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
