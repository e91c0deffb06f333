"""Parses the compiler's text of a program (HLO) and counts how often each computation runs."""

import dataclasses
import math
import re
from collections.abc import Iterator

_SIZES = {"pred": 1, "bf16": 2, "token": 0, "opaque": 0}  # bytes; other names end in their number of bits
_SHAPE = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_HEAD = re.compile(r"(ENTRY )?%?([^\s(]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?(\S+) = (.*)")


@dataclasses.dataclass(frozen=True)
class Shape:
    """Type and layout of an array on a chip.

    Attributes:
      dtype: the compiler's name of the type, such as bf16.
      dims: length of each axis.
      order: axes from the fastest varying to the slowest (minor to major).
      tile: the fastest axes are padded to multiples of it, in the order of the layout.
      space: memory space; 0 is HBM.
    """

    dtype: str
    dims: tuple[int, ...]
    order: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    space: int = 0

    @property
    def bytes(self) -> int:
        """Size without padding."""
        return math.prod(self.dims) * _item_bytes(self.dtype)

    @property
    def padded_bytes(self) -> int:
        """Size with the padding of tiles."""
        sizes = [self.dims[axis] for axis in self.order] or [1]
        sizes += [1] * (len(self.tile) - len(sizes))
        for place, unit in enumerate(reversed(self.tile)):
            sizes[place] = -(-sizes[place] // unit) * unit
        return math.prod(sizes) * _item_bytes(self.dtype)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of the text.

    Attributes:
      shapes: of the result; several for a tuple.
      operands: names of instructions of the same computation.
      inner: text between the brackets of the operands.
      rest: text after the operands.
      root: whether this is the result of the computation.
    """

    name: str
    shapes: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    inner: str
    rest: str
    root: bool

    def attribute(self, pattern: str) -> str | None:
        """Text that the group of the pattern matches in `rest`; None without a match."""
        found = re.search(pattern, self.rest)
        return found[1] if found else None


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Module:
    """All computations of a program by name; `entry` is the one that runs first."""

    computations: dict[str, Computation]
    entry: str

    def instructions(self) -> Iterator[tuple[str, Instruction]]:
        """All instructions, each with the name of its computation."""
        for name, computation in self.computations.items():
            for instruction in computation.values():
                yield name, instruction


def parse_module(text: str) -> Module:
    """Parses the text of `compiled.as_text()`.

    Raises:
      ValueError: if the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry = current = ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = head[2]
            computations[current] = {}
            entry = current if head[1] else entry
        elif current and (found := _INSTRUCTION.match(line)):
            instruction = _parse_instruction(found[2], found[3], bool(found[1]))
            computations[current][instruction.name] = instruction
    if not entry:
        raise ValueError("compiled text: expected an entry computation, found none")
    return Module(computations, entry)


def root_of(computation: Computation) -> Instruction:
    """The instruction whose result a computation returns."""
    return next(instruction for instruction in computation.values() if instruction.root)


def parse_shapes(text: str) -> tuple[Shape, ...]:
    """The arrays of a type; several for a tuple."""
    return tuple(_parse_shape(*found) for found in _SHAPE.findall(text))


def _parse_shape(dtype: str, dims: str, layout: str) -> Shape:
    order, _, tiling = layout.partition(":")
    tile, space = re.search(r"T\(([\d,]+)\)", tiling), re.search(r"S\((\d+)\)", tiling)
    return Shape(
        dtype,
        _numbers(dims.replace("<=", "")),
        _numbers(order) or tuple(reversed(range(len(_numbers(dims.replace("<=", "")))))),
        _numbers(tile[1]) if tile else (),
        int(space[1]) if space else 0,
    )


def _parse_instruction(name: str, text: str, root: bool) -> Instruction:
    end = _closing(text) if text.startswith("(") else text.index(" ")
    shapes, text = parse_shapes(text[:end]), text[end:].lstrip()
    opcode, text = text[: text.index("(")], text[text.index("(") :]
    end = _closing(text)
    inner = text[1 : end - 1]
    return Instruction(name, shapes, opcode, tuple(re.findall(r"%([\w.\-]+)", inner)), inner, text[end:], root)


def _closing(text: str) -> int:
    """Position after the bracket that closes the first one of `text`."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place + 1
    raise ValueError(f"compiled text: expected a closing bracket, found {text[:80]!r}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def _item_bytes(dtype: str) -> int:
    if dtype in _SIZES:
        return _SIZES[dtype]
    bits = re.search(r"(\d+)", dtype)
    return max(int(bits[1]) // 8, 1) if bits else 0


# The value of these instructions is the value of their operand.
_MOVES = ("copy", "copy-start", "copy-done", "bitcast", "reshape", "convert")
# All steps of an asynchronous operation name the same computation, which runs once, at the start.
_CALLS = {
    "fusion": r"calls=%?([\w.\-]+)",
    "call": r"to_apply=%?([\w.\-]+)",
    "call-start": r"to_apply=%?([\w.\-]+)",  # on a SparseCore, beside the TensorCore
    "async-start": r"calls=%?([\w.\-]+)",
    "conditional": r"branch_computations=\{([^}]*)\}",
}


@dataclasses.dataclass(frozen=True)
class Runs:
    """How often each computation runs in one call of the program.

    Attributes:
      times: number of runs by name; 0 for a name that is missing.
      fused: names of the computations inside fusion instructions.
      unknown: names of loops whose trip count the text does not tell; they are counted once.
    """

    times: dict[str, float]
    fused: frozenset[str]
    unknown: tuple[str, ...]


def count_runs(module: Module) -> Runs:
    """Follows the calls from the entry. All branches of a conditional count: the text does not tell which one runs."""
    times: dict[str, float] = {}
    fused, unknown = set(), []

    def visit(name: str, factor: float) -> None:
        times[name] = times.get(name, 0) + factor
        for instruction in module.computations[name].values():
            if instruction.opcode == "while":
                rounds = trip_count(module, module.computations[name], instruction)
                if rounds is None and instruction.name not in unknown:
                    unknown.append(instruction.name)
                often = factor * (1 if rounds is None else rounds)
                for part in ("condition", "body"):
                    visit(str(instruction.attribute(rf"{part}=%?([\w.\-]+)")), often)
                continue
            for called in _called(instruction):
                if instruction.opcode == "fusion":
                    fused.add(called)
                visit(called, factor)

    visit(module.entry, 1.0)
    return Runs(times, frozenset(fused), tuple(unknown))


def trip_count(module: Module, outside: Computation, loop: Instruction) -> int | None:
    """Trip count of a loop that counts up by a constant to a constant; None for any other loop.

    Args:
      module: the program.
      outside: the computation of `loop`.
      loop: a while instruction.
    """
    known = loop.attribute(r'"known_trip_count":\{"n":"(\d+)"\}')  # the CPU compiler writes it
    if known is not None:
        return int(known)
    condition = module.computations[str(loop.attribute(r"condition=%?([\w.\-]+)"))]
    body = module.computations[str(loop.attribute(r"body=%?([\w.\-]+)"))]
    test = root_of(condition)
    if test.opcode != "compare" or test.attribute(r"direction=(\w+)") != "LT":
        return None
    place = _place(condition, test.operands[0])
    if place is None:
        return None
    start = _carried(outside, loop, place)
    limit_place = _place(condition, test.operands[1])
    carried = limit_place is not None and _place(body, root_of(body).operands[limit_place]) == limit_place
    limit = _carried(outside, loop, limit_place) if carried else _constant(condition, test.operands[1])
    step = _step(body, place)
    if start is None or limit is None or not step:
        return None
    return max(math.ceil((limit - start) / step), 0)


def _called(instruction: Instruction) -> list[str]:
    pattern = _CALLS.get(instruction.opcode)
    found = instruction.attribute(pattern) if pattern else None
    if instruction.opcode == "conditional" and found is None:
        found = ",".join(re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", instruction.rest))
    return [name.strip().lstrip("%") for name in (found or "").split(",") if name.strip()]


def _carried(outside: Computation, loop: Instruction, place: int | None) -> int | None:
    """The constant initial value of one element of the tuple that a loop carries."""
    first = outside.get(loop.operands[0])
    if place is None or first is None or first.opcode != "tuple":
        return None
    return _constant(outside, first.operands[place])


def _step(body: Computation, place: int) -> int | None:
    """The constant that each iteration adds to one element of the tuple that a loop carries."""
    root = root_of(body)
    if root.opcode != "tuple":
        return None
    added = _origin(body, root.operands[place])
    if added is None or added.opcode != "add":
        return None
    for one, other in (added.operands, reversed(added.operands)):
        if _place(body, one) == place:
            return _constant(body, other)
    return None


def _place(computation: Computation, name: str) -> int | None:
    """Index of the element of the computation's parameter that a name stands for; None for other values."""
    found = _origin(computation, name)
    if found is None or found.opcode != "get-tuple-element":
        return None
    if computation[found.operands[0]].opcode != "parameter":
        return None
    return int(str(found.attribute(r"index=(\d+)")))


def _constant(computation: Computation, name: str) -> int | None:
    found = _origin(computation, name)
    if found is None or found.opcode != "constant" or not re.fullmatch(r"-?\d+", found.inner):
        return None
    return int(found.inner)


def _origin(computation: Computation, name: str) -> Instruction | None:
    """The instruction that computes a value, past all instructions that only move it."""
    found = computation.get(name)
    while found is not None and found.opcode in _MOVES:
        found = computation.get(found.operands[0])
    return found
