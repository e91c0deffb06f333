"""Floating-point operations of an instruction."""

import math
import re

import numpy as np

from prouter_jax.ahead.hlo import Computation, Instruction

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
