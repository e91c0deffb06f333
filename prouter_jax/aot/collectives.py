"""Collectives of a compiled program: bytes sent and time, by the formulas of ring algorithms.

With n devices in a group and B bytes, each device sends:

    all-reduce       2 (n - 1) / n B      B: the operand
    reduce-scatter     (n - 1) / n B      B: the operand
    all-to-all         (n - 1) / n B      B: the operand
    all-gather         (n - 1) / n B      B: the result
    collective-permute             B      B: the operand

Only one ring is counted, although a torus has several, and no overlap with computation. Between two devices of one chip
(tpu7x) a link of ICI is counted as well, although they are nearer to each other.
"""

import dataclasses
import re

import numpy as np
from jaxtyping import Int

from prouter_jax.aot.hlo import Computation, Instruction, Module, Runs
from prouter_jax.aot.topology import HOP_SECONDS, Topology

KINDS = ("all-reduce", "reduce-scatter", "all-to-all", "all-gather", "collective-permute", "collective-broadcast")
ICI, DCN = "ICI", "DCN"
# Between slices a runtime on the hosts transfers the arrays.
_MEGASCALE = r'_xla_megascale_transfer_type="(\w+)"'
_ONE_TO_ONE = "collective-permute"


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of one device.

    Attributes:
      kind: one of `KINDS`.
      network: ICI within a slice, DCN between slices.
      axes: mesh axes of the groups; "?" for groups in an unknown form, where all devices are assumed.
      group: number of devices in a group; slices for transfers between slices.
      bytes: B of the formulas, for one run.
      times: runs in one call of the program.
      wire_bytes: bytes sent in one run.
      seconds: time of one run.
    """

    kind: str
    network: str
    axes: str
    group: int
    bytes: float
    times: float
    wire_bytes: float
    seconds: float


def find_collectives(module: Module, runs: Runs, topology: Topology, mesh_shape: dict[str, int]) -> list[Collective]:
    """All collectives that run, in the order of the text.

    Args:
      module: the program.
      runs: how often its computations run.
      topology: the chips that it is compiled for.
      mesh_shape: length of each mesh axis; the slices follow one another along the first axis.
    """
    found: dict[str, Collective] = {}
    for name, instruction in module.instructions():
        times = runs.times.get(name, 0)
        kind = _kind(instruction)
        if not times or kind is None:
            continue
        one = _collective(kind, module.computations[name], instruction, times, topology, mesh_shape)
        # An asynchronous collective is inside several fusions: its start, the work beside it, and its end.
        channel = instruction.attribute(r"channel_id=(\d+)") if name in runs.fused else None
        found.setdefault(f"channel {channel}" if channel else f"{name}/{instruction.name}", one)
    return list(found.values())


def wire_bytes(kind: str, size: float, group: int) -> float:
    """Bytes that each device sends, by the formulas above; `size` is B and `group` is n."""
    if kind in ("collective-permute", "collective-broadcast"):
        return size
    share = (group - 1) / max(group, 1)
    return (2 if kind == "all-reduce" else 1) * share * size


def _kind(instruction: Instruction) -> str | None:
    """What kind of collective starts here, if one does; the second half of an asynchronous one does not."""
    plain = instruction.opcode.removesuffix("-start")
    if plain in KINDS:
        return plain
    between = instruction.attribute(_MEGASCALE) if instruction.opcode == "send" else None
    if between is None:
        return None
    kind = between.lower().replace("_", "-")
    return kind if kind in KINDS else _ONE_TO_ONE


def _collective(
    kind: str,
    computation: Computation,
    instruction: Instruction,
    times: float,
    topology: Topology,
    mesh_shape: dict[str, int],
) -> Collective:
    operands = instruction.operands[:1] if instruction.opcode == "send" else instruction.operands
    size = float(sum(shape.bytes for name in operands for shape in computation[name].shapes))
    if instruction.opcode == "send":
        axes, group, network, sharing = "slices", topology.slices, DCN, 1
    else:
        groups = read_groups(instruction, topology.devices)
        axes = "?" if groups is None else _axes(groups, mesh_shape)
        group = topology.devices if groups is None else groups.shape[1]
        network = DCN if _crosses(groups, topology) else ICI
        sharing = 1 if groups is None or network == DCN else _sharing(kind, groups, topology.chip.devices)
    size *= group if kind == "all-gather" else 1
    sent = wire_bytes(kind, size, group)
    seconds = _seconds(kind, network, group, sent * sharing, topology)
    return Collective(kind, network, axes, group, size, times, sent, seconds)


def read_groups(instruction: Instruction, devices: int) -> Int[np.ndarray, "groups members"] | None:
    """Positions in the mesh of the members of each group; None for a form of text that is not known."""
    pairs = instruction.attribute(r"source_target_pairs=\{(\{.*?\})\}")
    listed = pairs or instruction.attribute(r"replica_groups=\{(\{.*?\})\}")
    if listed:
        groups = [[int(number) for number in part.split(",")] for part in re.findall(r"\{([\d,]+)\}", listed)]
        return np.array(groups) if len({len(group) for group in groups}) == 1 else None
    if instruction.attribute(r"(replica_groups=\{\})"):
        return np.arange(devices)[None]
    parse = _iota_groups if "<=" in instruction.rest else _mesh_groups
    return parse(instruction.rest, devices)


def _iota_groups(text: str, devices: int) -> np.ndarray | None:
    """Parses replica_groups=[2,8]<=[8,2]T(1,0)."""
    found = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    if found is None:
        return None
    shape, reshaped = ([int(number) for number in part.split(",")] for part in found.groups()[:2])
    places = np.arange(devices).reshape(reshaped)
    if found[3]:
        places = places.transpose([int(axis) for axis in found[3].split(",")])
    return places.reshape(shape)


def _mesh_groups(text: str, devices: int) -> np.ndarray | None:
    """Parses replica_groups=mesh['axis_0'=8,'axis_1'=2] {'axis_0'}."""
    found = re.search(r"replica_groups=mesh\[('[^\]]*)\] \{([^}]*)\}(?:, (?!device_ids)|$)", text)
    if found is None:
        return None
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", found[1])}
    named = re.findall(r"'(\w+)'", found[2])
    # A part of an axis, written 'axis_0':(1)2, is not understood.
    if ":" in found[2] or np.prod(list(sizes.values())) != devices or not set(named) <= set(sizes):
        return None
    places = np.arange(devices).reshape(list(sizes.values()))
    order = [axis for axis, name in enumerate(sizes) if name not in named]
    order += [axis for axis, name in enumerate(sizes) if name in named]
    return places.transpose(order).reshape(-1, int(np.prod([sizes[name] for name in named])))


def _axes(groups: np.ndarray, mesh_shape: dict[str, int]) -> str:
    """Names of the mesh axes along which the members of a group differ."""
    places = np.unravel_index(groups, tuple(mesh_shape.values()))
    differ = [name for name, place in zip(mesh_shape, places, strict=True) if (place != place[:, :1]).any()]
    return " and ".join(differ) or "none"


def _crosses(groups: np.ndarray | None, topology: Topology) -> bool:
    if topology.slices == 1:
        return False
    if groups is None:
        return True
    part = groups // (topology.devices // topology.slices)
    return bool((part != part[:, :1]).any())


def _sharing(kind: str, groups: np.ndarray, devices: int) -> int:
    """Most devices of one chip that send to other chips over the same links at once, for rings through the groups.

    The devices of a chip follow one another in the mesh: a ring through all of them leaves the chip once, rings through
    one of them each share its links.
    """
    after = groups[:, 1:] if kind == _ONE_TO_ONE else np.roll(groups, -1, axis=1)
    chips = groups[:, : after.shape[1]] // devices
    return max(int(np.bincount(chips[chips != after // devices]).max(initial=0)), 1)


def _seconds(kind: str, network: str, group: int, sent: float, topology: Topology) -> float:
    """Bytes on a link over its bandwidth; on ICI also the hops of the first byte."""
    chip = topology.chip
    if network == DCN:
        return sent / topology.device.dcn
    if group == 1:
        return 0.0
    lengths = [length for length in topology.shape if length > 1]
    closed = all(length % chip.wraps == 0 for length in lengths)
    # A closed ring uses both directions; without it the way back shares the same links.
    bandwidth = chip.ici_link * (2 if closed else 1)
    far = sum(length // 2 if closed else length - 1 for length in lengths)
    hops = min(group - 1, far) * (2 if kind == "all-reduce" else 1)
    return sent / bandwidth + (1 if kind == _ONE_TO_ONE else hops) * HOP_SECONDS
