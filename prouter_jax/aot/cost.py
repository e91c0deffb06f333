"""What a chip computes and moves in one call of a compiled program, read from its text.

XLA's own `cost_analysis` runs every loop once, and its `optimal_seconds` takes -1 second for each collective it cannot
tell (-12 for our steps), so the text is counted here: loops as often as they go round, HBM apart from faster memory.
"""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np

from prouter_jax.aot.collectives import KINDS
from prouter_jax.aot.hlo import Computation, Instruction, Module, Runs, Shape, count_runs, parse_module, root_of

_ARITHMETIC = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "compare", "select", "negate", "abs", "power"),
    *("exponential", "log", "rsqrt", "sqrt", "tanh", "logistic", "sine", "cosine", "exponential-minus-one"),
    *("log-plus-one", "erf", "and", "or", "xor", "not", "sign", "floor", "ceil", "remainder", "clamp"),
}


def count_flops(computation: Computation, instruction: Instruction) -> float:
    """Of one run: a multiplication and an addition are two, any other function of a number is one."""
    if instruction.opcode == "convolution":
        return _convolution_flops(computation, instruction)
    if instruction.opcode == "dot":
        left = computation[instruction.operands[0]].shapes[0].dims
        summed = instruction.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or ""
        return 2.0 * _elements(instruction) * math.prod(left[int(axis)] for axis in summed.split(",") if axis)
    if instruction.opcode in _ARITHMETIC:
        return _elements(instruction)
    if instruction.opcode in ("reduce", "reduce-window"):
        return sum(math.prod(computation[name].shapes[0].dims) for name in instruction.operands[:1])
    return 0.0


def _convolution_flops(computation: Computation, instruction: Instruction) -> float:
    """Multiply-adds of values that are there: matrix products with batches are convolutions with much padding."""
    left, kernel = (computation[name].shapes[0].dims for name in instruction.operands[:2])
    labels = re.match(r"(\w+)_(\w+)->(\w+)", str(instruction.attribute(r"dim_labels=(\S+?)(?:,|$)")))
    if labels is None:
        raise ValueError(f"compiled text: expected dim_labels of {instruction.name}, found {instruction.rest[:80]!r}")
    out = instruction.shapes[0].dims
    spatial = sorted(set(labels[2]) - set("io"))
    pairs = 1.0
    for place, axis in enumerate(spatial):
        sizes = (left[labels[1].index(axis)], kernel[labels[2].index(axis)], out[labels[3].index(axis)])
        pairs *= _met(*sizes, _window(instruction, len(spatial), place))
    features = kernel[labels[2].index("i")] * out[labels[3].index("f")]
    groups = int(instruction.attribute(r"batch_group_count=(\d+)") or 1)
    return 2.0 * features * out[labels[3].index("b")] * pairs / groups


def _window(instruction: Instruction, axes: int, place: int) -> tuple[int, int, int, int]:
    """Stride, padding before, and dilation of the left side and of the kernel along one spatial axis."""
    window = instruction.attribute(r"window=\{([^}]*)\}") or ""

    def part(name: str, otherwise: str) -> str:
        found = re.search(rf"\b{name}=(\S+)", window)
        return found[1].split("x")[place] if found and axes else otherwise

    return (
        int(part("stride", "1")),
        int(part("pad", "0_0").split("_")[0]),
        int(part("lhs_dilate", "1")),
        int(part("rhs_dilate", "1")),
    )


def _met(left: int, kernel: int, out: int, window: tuple[int, int, int, int]) -> int:
    """How many pairs of a result's and a kernel's place meet a value of the left side."""
    stride, before, left_dilation, kernel_dilation = window
    at = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_dilation - before
    return int(((at >= 0) & (at <= (left - 1) * left_dilation) & (at % left_dilation == 0)).sum())


def _elements(instruction: Instruction) -> float:
    return float(math.prod(instruction.shapes[0].dims))


# moves nothing, or is counted where it starts
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"),
    *("partition-id", "replica-id", "iota", "copy-done", "slice-done", "async-done", "async-update", "send-done"),
    *("recv-done", "all-reduce-done", "all-gather-done", "collective-permute-done", "add-dependency", "domain"),
    *("opt-barrier", "rng-get-and-update-state", "recv"),
}
_PIECES = {"dynamic-slice", "slice", "gather"}


def in_hbm(shape: Shape) -> bool:
    """Whether an array lives in a chip's large memory, not in the fast ones beside its cores."""
    return shape.space == 0


def anywhere(_: Shape) -> bool:
    """Whether an array lives in any memory."""
    return True


def count_bytes(
    module: Module, computation: Computation, instruction: Instruction, counts: Callable[[Shape], bool] = in_hbm
) -> float:
    """Read and written in one run, of arrays that `counts`; of what only a piece is read or written, the piece."""
    if instruction.opcode in _FREE:
        return 0.0
    operands = [computation[name] for name in instruction.operands if name in computation]
    if instruction.opcode in ("copy-start", "slice-start"):  # its shapes are (to, from, ...) and ((from), to, ...)
        ends = instruction.shapes[:2]
        return min(shape.padded_bytes for shape in ends) * sum(counts(shape) for shape in ends)
    if instruction.opcode in _PIECES:
        return _if(counts, operands[0].shapes, _size(instruction.shapes)) + _sum(counts, instruction.shapes)
    if instruction.opcode == "dynamic-update-slice":
        return _if(counts, instruction.shapes, 2 * _size(operands[1].shapes))
    if instruction.opcode == "fusion":
        return _fusion_bytes(module, instruction, operands, counts)
    return sum(_sum(counts, operand.shapes) for operand in operands) + _sum(counts, instruction.shapes)


def _fusion_bytes(module: Module, fusion: Instruction, operands: list[Instruction], counts) -> float:
    inside = module.computations[str(fusion.attribute(r"calls=%?([\w.\-]+)"))]
    parameters = {int(one.inner): one.name for one in inside.values() if one.opcode == "parameter"}
    root = root_of(inside)
    into = root.operands[0] if root.opcode == "dynamic-update-slice" else None
    total = 0.0
    for place, operand in enumerate(operands):
        users = [one for one in inside.values() if parameters[place] in one.operands]
        if users == [root] and parameters[place] == into:
            continue
        total += _if(counts, operand.shapes, _read(users, parameters[place], _size(operand.shapes)))
    if into is not None:
        return total + _if(counts, fusion.shapes, _size(inside[root.operands[1]].shapes))
    return total + _sum(counts, fusion.shapes)


def _read(users: list[Instruction], name: str, whole: float) -> float:
    """How much of an array of `whole` bytes those read that use it under a name."""
    if not users or any(one.opcode not in _PIECES or one.operands[0] != name for one in users):
        return whole
    return min(sum(_size(one.shapes) for one in users), whole)


def _size(shapes: tuple[Shape, ...]) -> float:
    return float(sum(shape.padded_bytes for shape in shapes))


def _sum(counts: Callable[[Shape], bool], shapes: tuple[Shape, ...]) -> float:
    return float(sum(shape.padded_bytes for shape in shapes if counts(shape)))


def _if(counts: Callable[[Shape], bool], shapes: tuple[Shape, ...], size: float) -> float:
    """`size` if the first array counts."""
    return size if shapes and counts(shapes[0]) else 0.0


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
