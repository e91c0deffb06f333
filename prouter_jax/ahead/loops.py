"""How often each computation of a compiled program runs: loops count as often as they go round."""

import dataclasses
import math
import re

from prouter_jax.ahead.hlo import Computation, Instruction, Module, root_of

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
