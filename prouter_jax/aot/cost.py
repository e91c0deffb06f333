"""Operations, bytes and cycles of one device in one call of a compiled program, read from its text.

XLA's `cost_analysis` counts every loop once, and its `optimal_seconds` adds -1 second for each collective that it does
not know (-12 for these steps). Here loops count with their trip counts, and HBM is separated from faster memory.
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
    """Operations of one run: a multiply-add counts as two, any other function of a number as one."""
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
    """Multiply-adds without those of padding: batched matrix products are convolutions with much padding."""
    left, kernel = (computation[name].shapes[0].dims for name in instruction.operands[:2])
    labels = re.match(r"(\w+)_(\w+)->(\w+)", str(instruction.attribute(r"dim_labels=(\S+?)(?:,|$)")))
    if labels is None:
        raise ValueError(f"compiled text: expected dim_labels of {instruction.name}, found {instruction.rest[:80]!r}")
    out = instruction.shapes[0].dims
    spatial = sorted(set(labels[2]) - set("io"))
    pairs = 1.0
    for place, axis in enumerate(spatial):
        sizes = (left[labels[1].index(axis)], kernel[labels[2].index(axis)], out[labels[3].index(axis)])
        pairs *= _count_pairs(*sizes, _window(instruction, len(spatial), place))
    features = kernel[labels[2].index("i")] * out[labels[3].index("f")]
    groups = int(instruction.attribute(r"batch_group_count=(\d+)") or 1)
    return 2.0 * features * out[labels[3].index("b")] * pairs / groups


def _window(instruction: Instruction, axes: int, place: int) -> tuple[int, int, int, int]:
    """Stride, low padding, dilation of the left side, and dilation of the kernel along one spatial axis."""
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


def _count_pairs(left: int, kernel: int, out: int, window: tuple[int, int, int, int]) -> int:
    """Number of pairs of an output and a kernel position that read a value of the left side, not padding."""
    stride, before, left_dilation, kernel_dilation = window
    first = np.arange(out) * stride - before
    if kernel_dilation == 1:  # one number for each output: both axes may have millions of positions
        lowest = -(-np.maximum(first, 0) // left_dilation)
        highest = np.minimum(first + kernel - 1, (left - 1) * left_dilation) // left_dilation
        return int(np.maximum(highest - lowest + 1, 0).sum())
    at = first[:, None] + np.arange(kernel) * kernel_dilation
    return int(((at >= 0) & (at <= (left - 1) * left_dilation) & (at % left_dilation == 0)).sum())


def _elements(instruction: Instruction) -> float:
    return float(math.prod(instruction.shapes[0].dims))


# These move nothing, or are counted where they start.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"),
    *("partition-id", "replica-id", "iota", "copy-done", "slice-done", "async-done", "async-update", "send-done"),
    *("recv-done", "all-reduce-done", "all-gather-done", "collective-permute-done", "add-dependency", "domain"),
    *("opt-barrier", "rng-get-and-update-state", "recv", "call-start", "call-done", "dynamic-slice-done"),
}
_PIECES = {"dynamic-slice", "slice", "gather"}


def in_hbm(shape: Shape) -> bool:
    """Whether an array is in HBM, not in the fast memories beside the cores."""
    return shape.space == 0


def anywhere(_: Shape) -> bool:
    """Every array counts."""
    return True


def count_bytes(
    module: Module, computation: Computation, instruction: Instruction, counts: Callable[[Shape], bool] = in_hbm
) -> float:
    """Bytes read and written in one run, of the arrays for which `counts` is true; of a slice, only the slice."""
    if instruction.opcode in _FREE:
        return 0.0
    operands = [computation[name] for name in instruction.operands if name in computation]
    # shapes (to, from, ...), ((from), to, ...) and ((from, start of each axis), to, ...)
    if instruction.opcode in ("copy-start", "slice-start", "dynamic-slice-start"):
        ends = instruction.shapes[0], instruction.shapes[len(instruction.operands)]
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
        written = parameters[place] == into
        users = [one for one in inside.values() if parameters[place] in one.operands and not (written and one is root)]
        if written and not users:
            continue
        total += _if(counts, operand.shapes, _read(users, parameters[place], _size(operand.shapes)))
    if into is not None:
        return total + _if(counts, fusion.shapes, _size(inside[root.operands[1]].shapes))
    return total + _sum(counts, fusion.shapes)


def _read(users: list[Instruction], name: str, whole: float) -> float:
    """Bytes that `users` read of the array `name`, which has `whole` bytes."""
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
# Custom calls that compute nothing.
_COSTLESS = {
    *("ConcatBitcast", "AllocateBuffer", "SliceId", "ZeroCrop", "PrepareAsyncCallStart", "PrepareAsyncCallDone"),
}
_INSIDE = ("gather", "scatter", "sort")
# What runs on a SparseCore has -1 as an unsigned number of 20 digits, which is no estimate.
_CYCLES = r'"estimated_cycles":"(\d{1,18})"'


@dataclasses.dataclass(frozen=True)
class Work:
    """Work of one device in one call.

    Attributes:
      flops: operations; a multiply-add counts as two.
      hbm_bytes: bytes read from and written to HBM.
      cycles: the compiler's estimate.
      uncosted: runs by name of operations without the compiler's cycles, such as gather, scatter, sort and Cholesky.
      uncosted_bytes: bytes that these read and write, in any memory.
    """

    flops: float
    hbm_bytes: float
    cycles: float
    uncosted: dict[str, float]
    uncosted_bytes: float


def read_work(text: str | None) -> tuple[Work, Runs]:
    """The work of a program from the text of `compiled.as_text()`, and how often its computations run.

    Raises:
      ValueError: if the text has no program.
    """
    module = parse_module(text or "")
    runs = count_runs(module)
    return count_work(module, runs), runs


def count_work(module: Module, runs: Runs) -> Work:
    """The sum over all instructions that run."""
    flops = hbm = cycles = uncosted_bytes = 0.0
    uncosted: dict[str, float] = {}
    for name, instruction in module.instructions():
        times, computation = runs.times.get(name, 0), module.computations[name]
        if not times:
            continue
        flops += times * count_flops(computation, instruction)
        if name in runs.fused:
            continue
        hbm += times * count_bytes(module, computation, instruction)
        estimate = instruction.attribute(_CYCLES)
        cycles += times * float(estimate or 0)
        kind = None if estimate else _uncosted_kind(module, instruction)
        if kind is not None:
            uncosted[kind] = uncosted.get(kind, 0) + times
            uncosted_bytes += times * count_bytes(module, computation, instruction, anywhere)
    return Work(flops, hbm, cycles, uncosted, uncosted_bytes)


def _uncosted_kind(module: Module, instruction: Instruction) -> str | None:
    """Name of an instruction without cycles; None if it costs nothing or is counted as a collective."""
    if instruction.opcode not in _COSTLY:
        return None
    if instruction.opcode == "custom-call":
        target = instruction.attribute(r'custom_call_target="([^"]*)"') or "custom call"
        return None if target in _COSTLESS else target
    if instruction.opcode != "fusion":
        return instruction.opcode
    inside = {one.opcode for one in module.computations[str(instruction.attribute(r"calls=%?([\w.\-]+)"))].values()}
    if inside & set(KINDS):
        return None
    return next((kind for kind in _INSIDE if kind in inside or kind in instruction.name), "fusion")
