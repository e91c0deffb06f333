"""What a chip computes and moves in one call of a compiled program, read from its text.

XLA's own `cost_analysis` runs every loop once, and its `optimal_seconds` takes -1 second for each collective it cannot
tell (-12 for our steps), so the text is counted here: loops as often as they go round, HBM apart from faster memory.
"""

import dataclasses
import math
import re

import numpy as np

from prouter_jax.ahead.hlo import Computation, Instruction, Module, Shape, root_of
from prouter_jax.ahead.loops import Runs

# moves nothing, or is counted where it starts
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"),
    *("partition-id", "replica-id", "iota", "copy-done", "slice-done", "async-done", "async-update", "send-done"),
    *("recv-done", "all-reduce-done", "all-gather-done", "collective-permute-done", "add-dependency", "domain"),
    *("opt-barrier", "rng-get-and-update-state", "recv"),
}
_PIECES = {"dynamic-slice", "slice", "gather"}
_ARITHMETIC = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "compare", "select", "negate", "abs", "power"),
    *("exponential", "log", "rsqrt", "sqrt", "tanh", "logistic", "sine", "cosine", "exponential-minus-one"),
    *("log-plus-one", "erf", "and", "or", "xor", "not", "sign", "floor", "ceil", "remainder", "clamp"),
}


@dataclasses.dataclass(frozen=True)
class Work:
    """Of one chip in one call.

    Attributes:
      flops: a multiplication and an addition are two.
      hbm_bytes: read from and written to HBM.
      cycles: the compiler's own estimate, of the instructions that it gives one for.
    """

    flops: float
    hbm_bytes: float
    cycles: float


def count_work(module: Module, runs: Runs) -> Work:
    """Adds up all instructions that run."""
    flops = hbm = cycles = 0.0
    for name, instruction in module.instructions():
        times = runs.times.get(name, 0)
        if not times:
            continue
        flops += times * _flops(module.computations[name], instruction)
        cycles += times * float(instruction.attribute(r'"estimated_cycles":"(\d+)"') or 0)
        if name not in runs.fused and instruction.opcode not in _FREE:
            hbm += times * _hbm_bytes(module, module.computations[name], instruction)
    return Work(flops, hbm, cycles)


def _flops(computation: Computation, instruction: Instruction) -> float:
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


def _hbm_bytes(module: Module, computation: Computation, instruction: Instruction) -> float:
    """Bytes between HBM and the chip: operands that live there and results that go there."""
    operands = [computation[name] for name in instruction.operands if name in computation]
    if instruction.opcode in ("copy-start", "slice-start"):  # its shapes are (to, from, ...) and ((from), to, ...)
        ends = [instruction.shapes[0], instruction.shapes[1]]
        size = min(shape.padded_bytes for shape in ends)
        return size * sum(shape.space == 0 for shape in ends)
    if instruction.opcode in _PIECES:
        return _in_hbm(operands[0].shapes, _result_bytes(instruction)) + _written(instruction.shapes)
    if instruction.opcode == "dynamic-update-slice":
        return 2.0 * _in_hbm(instruction.shapes, sum(shape.padded_bytes for shape in operands[1].shapes))
    if instruction.opcode == "fusion":
        return _fusion_bytes(module, instruction, operands)
    return sum(_written(operand.shapes) for operand in operands) + _written(instruction.shapes)


def _fusion_bytes(module: Module, fusion: Instruction, operands: list[Instruction]) -> float:
    """Of what a fusion only takes pieces from, or puts a piece into, the pieces count."""
    inside = module.computations[str(fusion.attribute(r"calls=%?([\w.\-]+)"))]
    parameters = {int(one.inner): one for one in inside.values() if one.opcode == "parameter"}
    root, total = root_of(inside), 0.0
    for place, operand in enumerate(operands):
        users = [one for one in inside.values() if place in parameters and parameters[place].name in one.operands]
        pieces = bool(users) and all(one.opcode in _PIECES and one.operands[0] == parameters[place].name for one in users)
        in_place = users == [root] and root.opcode == "dynamic-update-slice" and root.operands[0] == parameters[place].name
        if in_place:
            continue
        whole = sum(_result_bytes(one) for one in users) if pieces else _size(operand.shapes)
        total += _in_hbm(operand.shapes, min(whole, _size(operand.shapes)))
    if root.opcode == "dynamic-update-slice":
        return total + _in_hbm(fusion.shapes, _size(inside[root.operands[1]].shapes))
    return total + _written(fusion.shapes)


def _result_bytes(instruction: Instruction) -> float:
    return _size(instruction.shapes)


def _size(shapes: tuple[Shape, ...]) -> float:
    return float(sum(shape.padded_bytes for shape in shapes))


def _written(shapes: tuple[Shape, ...]) -> float:
    """Bytes of the arrays that live in HBM."""
    return float(sum(shape.padded_bytes for shape in shapes if shape.space == 0))


def _in_hbm(shapes: tuple[Shape, ...], size: float) -> float:
    """`size` if the first array lives in HBM."""
    return size if shapes and shapes[0].space == 0 else 0.0
