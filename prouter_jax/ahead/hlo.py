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
