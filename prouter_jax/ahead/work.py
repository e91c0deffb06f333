"""What a chip computes and moves in one call of a compiled program, read from its text.

XLA's own `cost_analysis` runs every loop once, and its `optimal_seconds` takes -1 second for each collective it cannot
tell (-12 for our steps), so the text is counted here: loops as often as they go round, HBM apart from faster memory.
"""

import dataclasses

from prouter_jax.ahead.collectives import KINDS
from prouter_jax.ahead.flops import count_flops
from prouter_jax.ahead.hlo import Instruction, Module, parse_module
from prouter_jax.ahead.loops import Runs, count_runs
from prouter_jax.ahead.traffic import anywhere, count_bytes

_COSTLY = {"fusion", "custom-call", "sort", "gather", "scatter", "convolution", "dot", "reduce-window"}
# custom calls that compute nothing
_NOTHING = {
    *("ConcatBitcast", "AllocateBuffer", "SliceId", "ZeroCrop", "PrepareAsyncCallStart", "PrepareAsyncCallDone"),
}
_INSIDE = ("gather", "scatter", "sort")


@dataclasses.dataclass(frozen=True)
class Work:
    """Of one chip in one call.

    Attributes:
      flops: a multiplication and an addition are two.
      hbm_bytes: read from and written to HBM.
      cycles: the compiler's own estimate.
      blind: what the compiler gives no cycles for, and how often it runs: gathers, scatters, sorts, Cholesky.
      blind_bytes: that these read and write, in any memory.
    """

    flops: float
    hbm_bytes: float
    cycles: float
    blind: dict[str, float]
    blind_bytes: float


def read_work(text: str | None) -> tuple[Work, Runs]:
    """The work of a program from what its `compiled.as_text()` gives, and how often it runs what.

    Raises:
      ValueError: if there is no program in it.
    """
    module = parse_module(text or "")
    runs = count_runs(module)
    return count_work(module, runs), runs


def count_work(module: Module, runs: Runs) -> Work:
    """Adds up all instructions that run."""
    flops = hbm = cycles = blind_bytes = 0.0
    blind: dict[str, float] = {}
    for name, instruction in module.instructions():
        times, computation = runs.times.get(name, 0), module.computations[name]
        if not times:
            continue
        flops += times * count_flops(computation, instruction)
        if name in runs.fused:
            continue
        hbm += times * count_bytes(module, computation, instruction)
        estimate = instruction.attribute(r'"estimated_cycles":"(\d+)"')
        cycles += times * float(estimate or 0)
        what = None if estimate else _costly(module, instruction)
        if what is not None:
            blind[what] = blind.get(what, 0) + times
            blind_bytes += times * count_bytes(module, computation, instruction, anywhere)
    return Work(flops, hbm, cycles, blind, blind_bytes)


def _costly(module: Module, instruction: Instruction) -> str | None:
    """What an instruction without cycles does, None if that costs nothing or is counted as a collective."""
    if instruction.opcode not in _COSTLY:
        return None
    if instruction.opcode == "custom-call":
        target = instruction.attribute(r'custom_call_target="([^"]*)"') or "custom call"
        return None if target in _NOTHING else target
    if instruction.opcode != "fusion":
        return instruction.opcode
    inside = {one.opcode for one in module.computations[str(instruction.attribute(r"calls=%?([\w.\-]+)"))].values()}
    if inside & set(KINDS):
        return None
    return next((kind for kind in _INSIDE if kind in inside or kind in instruction.name), "fusion")
