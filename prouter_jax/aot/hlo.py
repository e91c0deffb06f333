"""The compiler's text of a program, read into computations and instructions."""

import dataclasses
import math
import re
from collections.abc import Iterator

_SIZES = {"pred": 1, "bf16": 2, "token": 0, "opaque": 0}  # others end in their number of bits
_SHAPE = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_HEAD = re.compile(r"(ENTRY )?%?([^\s(]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?(\S+) = (.*)")


@dataclasses.dataclass(frozen=True)
class Shape:
    """An array as a chip holds it.

    Attributes:
      tile: the last axes are padded to multiples of it, in the order of the layout.
      order: axes, fastest first.
      space: memory it lives in; 0 is HBM.
    """

    dtype: str
    dims: tuple[int, ...]
    order: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    space: int = 0

    @property
    def bytes(self) -> int:
        """Without padding."""
        return math.prod(self.dims) * _item_bytes(self.dtype)

    @property
    def padded_bytes(self) -> int:
        """With the padding of its tiles."""
        sizes = [self.dims[axis] for axis in self.order] or [1]
        sizes += [1] * (len(self.tile) - len(sizes))
        for place, unit in enumerate(reversed(self.tile)):
            sizes[place] = -(-sizes[place] // unit) * unit
        return math.prod(sizes) * _item_bytes(self.dtype)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line; `shapes` are those of its result, `rest` all that follows the operands."""

    name: str
    shapes: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    inner: str
    rest: str
    root: bool

    def attribute(self, pattern: str) -> str | None:
        """What the pattern's group matches of `rest`, None where nothing does."""
        found = re.search(pattern, self.rest)
        return found[1] if found else None


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Module:
    """All computations by name; `entry` is the name of the one that is called."""

    computations: dict[str, Computation]
    entry: str

    def instructions(self) -> Iterator[tuple[str, Instruction]]:
        """Every instruction with the name of its computation."""
        for name, computation in self.computations.items():
            for instruction in computation.values():
                yield name, instruction


def parse_module(text: str) -> Module:
    """Reads what `compiled.as_text()` gives.

    Raises:
      ValueError: if there is no entry computation in it.
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
    """What a computation returns."""
    return next(instruction for instruction in computation.values() if instruction.root)


def parse_shapes(text: str) -> tuple[Shape, ...]:
    """The arrays of a type, of a tuple all that are in it."""
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
    """Where the bracket ends with which `text` begins."""
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


_SAME = ("copy", "copy-start", "copy-done", "bitcast", "reshape", "convert")
# the steps of an asynchronous operation name the same computation: it runs at the start
_CALLS = {
    "fusion": r"calls=%?([\w.\-]+)",
    "call": r"to_apply=%?([\w.\-]+)",
    "async-start": r"calls=%?([\w.\-]+)",
    "conditional": r"branch_computations=\{([^}]*)\}",
}


@dataclasses.dataclass(frozen=True)
class Runs:
    """How often computations run in one call of the program.

    Attributes:
      times: by name; what is not in it does not run by itself.
      fused: names of those that are the inside of one instruction.
      unknown: names of loops whose rounds are not to be seen in the text; they are counted once.
    """

    times: dict[str, float]
    fused: frozenset[str]
    unknown: tuple[str, ...]


def count_runs(module: Module) -> Runs:
    """Follows the calls from the entry. Of a conditional every branch is counted: the text does not say which runs."""
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
    """How often a loop goes round that counts up by a constant to a constant; None where that cannot be seen.

    Args:
      outside: the computation that `loop` is in.
    """
    known = loop.attribute(r'"known_trip_count":\{"n":"(\d+)"\}')  # the compiler for CPUs says so itself
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
    """The constant that a loop begins with at one place of what it carries."""
    first = outside.get(loop.operands[0])
    if place is None or first is None or first.opcode != "tuple":
        return None
    return _constant(outside, first.operands[place])


def _step(body: Computation, place: int) -> int | None:
    """What is added in each round at one place of what a loop carries."""
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
    """Which part of the computation's parameter a name is, if it is one."""
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
    """The instruction that a value comes from, past all that only moves it."""
    found = computation.get(name)
    while found is not None and found.opcode in _SAME:
        found = computation.get(found.operands[0])
    return found
