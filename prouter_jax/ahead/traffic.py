"""Bytes that an instruction reads and writes."""

from collections.abc import Callable

from prouter_jax.ahead.hlo import Computation, Instruction, Module, Shape, root_of

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
