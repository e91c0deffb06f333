"""What the compiler makes of one program on one topology: memory, work, collectives, time."""

import dataclasses
import re
import time
from typing import Any

from prouter_jax.ahead.collectives import DCN, ICI, Collective, find_collectives
from prouter_jax.ahead.hlo import parse_module
from prouter_jax.ahead.loops import count_runs
from prouter_jax.ahead.memory import count_memory, shape_bytes
from prouter_jax.ahead.program import Program
from prouter_jax.ahead.topology import Topology
from prouter_jax.ahead.work import Work, count_work


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one chip in one call, before any chip was seen.

    Attributes:
      users, calls: as the program has them.
      memory: bytes by kind; fits: whether that is at most the chip's HBM.
      refusal: why the compiler would not compile it; then there is no work and no collective. Empty if it did.
      unknown_loops: how many loops are counted once because the text does not say how often they go round.
      compile_seconds: on this machine.
    """

    name: str
    users: int
    calls: float
    memory: dict[str, float]
    fits: bool
    refusal: str
    work: Work
    collectives: tuple[Collective, ...]
    unknown_loops: int
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one call; nothing is taken to overlap.

    Attributes:
      compute: the longest of three, which `by` names: the compiler's cycles (where it gives none for an instruction,
        its bytes over HBM's bandwidth), flops over the peak, bytes from and to HBM over its bandwidth.
      ici, dcn: on the wire, within a slice and between slices.
    """

    compute: float
    by: str
    ici: float
    dcn: float

    @property
    def total(self) -> float:
        return self.compute + self.ici + self.dcn

    @property
    def wire(self) -> float:
        return self.ici + self.dcn


def measure(program: Program, topology: Topology, mesh) -> Measured:
    """Lowers and compiles a program for the chips of a mesh and reads what came out.

    Args:
      mesh: of `topology_mesh(topology)`, on which the program's arguments are placed.
    """
    import jax

    begun = time.monotonic()
    try:
        compiled = program.function.lower(*program.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _refused(program, str(error), time.monotonic() - begun)
    seconds = time.monotonic() - begun
    module = parse_module(compiled.as_text())
    runs = count_runs(module)
    memory = count_memory(program, module, compiled.memory_analysis())
    return Measured(
        program.name,
        program.users,
        program.calls,
        memory,
        fits=sum(memory.values()) <= topology.chip.hbm,
        refusal="",
        work=count_work(module, runs),
        collectives=tuple(find_collectives(module, runs, topology, dict(mesh.shape))),
        unknown_loops=len(runs.unknown),
        compile_seconds=seconds,
    )


def times_of(measured: Measured, topology: Topology) -> Times:
    """Seconds of one call on the topology that it was measured on."""
    chip, work = topology.chip, measured.work
    estimates = {
        "the compiler's cycles": work.cycles / chip.clock + work.blind_bytes / chip.hbm_bandwidth,
        "flops / peak": work.flops / chip.peak_flops,
        "bytes / HBM bandwidth": work.hbm_bytes / chip.hbm_bandwidth,
    }
    by = max(estimates, key=lambda name: estimates[name])
    wire: dict[str, float] = dict.fromkeys((ICI, DCN), 0.0)
    for one in measured.collectives:
        wire[one.network] += one.times * one.seconds
    return Times(estimates[by], by, wire[ICI], wire[DCN])


def to_json(measured: Measured) -> dict[str, Any]:
    """As plain values."""
    return dataclasses.asdict(measured)


def from_json(values: dict[str, Any]) -> Measured:
    """The inverse of `to_json`."""
    work, collectives = Work(**values["work"]), tuple(Collective(**one) for one in values["collectives"])
    return Measured(**values | {"work": work, "collectives": collectives})


def _refused(program: Program, message: str, seconds: float) -> Measured:
    found = re.search(r"RESOURCE_EXHAUSTED: *([^\n]*)", message)
    why = " ".join((found[1] if found else message).split())
    nothing = Work(0, 0, 0, {}, 0)
    memory = shape_bytes(program)
    return Measured(program.name, program.users, program.calls, memory, False, why, nothing, (), 0, seconds)
