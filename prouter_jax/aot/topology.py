"""TPU topologies by name, such as v5p:4x4x4: published figures of their chips, and a device mesh."""

import dataclasses
import math
import re

_GB, _GIB = 1e9, 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of a kind of chip, of all its devices together.

    Attributes:
      devices: devices of JAX on one chip. They divide its memory, operations and network between slices.
      axes: number of axes of the torus.
      most_chips: most chips in one slice.
      hbm: bytes of memory.
      hbm_bandwidth: bytes per second.
      peak_flops: bfloat16 operations per second.
      clock: cycles per second; turns the compiler's cycles into seconds.
      ici_link: bytes per second of one link to a neighbouring chip, in one direction.
      dcn: bytes per second of one chip's share of the network between slices.
      wraps: an axis closes to a ring if its length is a multiple of this.
    """

    devices: int
    axes: int
    most_chips: int
    hbm: float
    hbm_bandwidth: float
    peak_flops: float
    clock: float
    ici_link: float
    dcn: float
    wraps: int


# Devices, HBM, its bandwidth, peak, ICI and DCN: Google's pages docs.cloud.google.com/tpu/docs/v5e, .../v5p, .../v6e
# and .../tpu7x. ICI is given for all links and both directions of a chip: 400 and 800 GB/s over 4 links, 1,200 over 6.
# Links in one direction again, rings and where they close: jax-ml.github.io/scaling-book/tpus.
CHIPS = {
    "v5e": Chip(
        devices=1,
        axes=2,
        most_chips=256,
        hbm=15.75 * _GIB,  # 16 GB less the compiler's reserve: "exceeds available HBM (15.75G)" is its message
        hbm_bandwidth=819 * _GB,
        peak_flops=197e12,
        clock=1.5e9,  # scaling-book: 5e13 flops of each of 4 MXUs at 1.5 GHz
        ici_link=400 * _GB / 4 / 2,
        dcn=6.4e12 / 8 / 256,  # "6.4 Tbps" for a pod of 256 chips
        wraps=16,
    ),
    "v5p": Chip(
        devices=1,  # its two cores are one device
        axes=3,
        most_chips=6144,  # "the largest job that can be scheduled"
        hbm=95 * _GIB,  # the compiler allows 95.74
        hbm_bandwidth=2765 * _GB,
        peak_flops=459e12,
        clock=1.75e9,  # gives 459 TFLOP/s with 2 cores of 4 MXUs, each 128 x 128 multiply-adds a cycle
        ici_link=1200 * _GB / 6 / 2,
        dcn=50e9 / 8,  # "50 Gbps" for a chip
        wraps=4,
    ),
    "v6e": Chip(
        devices=1,
        axes=2,
        most_chips=256,
        hbm=31.25 * _GIB,  # 32 GB less the compiler's reserve, as of v5e
        hbm_bandwidth=1638 * _GB,
        peak_flops=918e12,
        clock=1.75e9,  # inferred; gives 918 TFLOP/s with 4 x 256 x 256 multiply-adds a cycle
        ici_link=800 * _GB / 4 / 2,
        dcn=25.6e12 / 8 / 256,  # "25.6 Tbps" for a pod of 256 chips
        wraps=16,
    ),
    "tpu7x": Chip(
        devices=2,  # "two TensorCores", each a device with half of the memory
        axes=3,
        most_chips=9216,
        hbm=2 * 94.75 * _GIB,  # 192 GiB less the compiler's reserve on each device
        hbm_bandwidth=7380 * _GB,
        peak_flops=2307e12,
        clock=2.2e9,  # inferred; gives 2,307 TFLOP/s with 2 cores of 4 x 256 x 256 multiply-adds a cycle
        ici_link=1200 * _GB / 6 / 2,
        dcn=100e9 / 8,  # "100 Gbps" for a chip
        wraps=4,
    ),
}
# Set these before jax is imported on a machine without a TPU. The compiler then queries no metadata server, prints
# nothing, leaves no logs, and accepts other processes that have loaded it (else it locks /tmp/libtpu_lockfile). JAX
# caches no programs for absent TPUs, for it cannot read them back.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_LOG_DIR": "disabled",
}
HOP_SECONDS = 1e-6  # from a chip to its neighbour: scaling-book/tpus, question 5, "about 1 us"

# shapes of a scan by the number of axes
_SCANS = {
    2: ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    3: ("2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16"),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """One or more slices of the same kind of chip.

    Attributes:
      kind: key of `CHIPS`.
      shape: chips along each axis of the torus of one slice.
      slices: number of slices, joined by the data centre's network.
    """

    kind: str
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def chip(self) -> Chip:
        """Published figures of one chip."""
        return CHIPS[self.kind]

    @property
    def device(self) -> Chip:
        """Figures of one device, on which a program runs: its part of the chip, with all of the chip's links."""
        divided = ("hbm", "hbm_bandwidth", "peak_flops", "dcn")
        parts = {name: getattr(self.chip, name) / self.chip.devices for name in divided}
        return dataclasses.replace(self.chip, devices=1, **parts)

    @property
    def chips(self) -> int:
        """Number of chips in all slices."""
        return math.prod(self.shape) * self.slices

    @property
    def devices(self) -> int:
        """Number of devices in all slices."""
        return self.chips * self.chip.devices

    @property
    def unit(self) -> str:
        """Word for what a program runs on: chips, or devices where a chip has several."""
        return "chips" if self.chip.devices == 1 else "devices"

    @property
    def name(self) -> str:
        """Name of one slice, such as v5p:4x4x4."""
        return f"{self.kind}:{'x'.join(map(str, self.shape))}"

    def __str__(self) -> str:
        return self.name if self.slices == 1 else f"{self.slices} slices of {self.name}"


def parse_topology(text: str, slices: int = 1) -> Topology:
    """The topology of the flag --topology.

    Args:
      text: kind and shape of a slice, such as v5p:4x4x4.
      slices: number of slices.

    Raises:
      ValueError: if there is no such topology.
    """
    found = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", text)
    kind = found[1] if found else ""
    if found is None or kind not in CHIPS:
        raise ValueError(
            f"flag --topology: expected one of {', '.join(CHIPS)} and a shape as in v5p:4x4x4, found {text!r}"
        )
    topology, chip = Topology(kind, tuple(map(int, found[2].split("x"))), slices), CHIPS[kind]
    if len(topology.shape) != chip.axes:
        raise ValueError(f"flag --topology: expected {chip.axes} axes of {kind}, found {text!r}")
    if not 0 < topology.chips // slices <= chip.most_chips:
        raise ValueError(f"flag --topology: expected 1 to {chip.most_chips} chips of {kind}, found {text!r}")
    return topology


def scan_topologies(kind: str) -> list[Topology]:
    """Slices of one kind that double in size: 8 to 2,048 chips of v5p and tpu7x, 8 to 256 of v5e and v6e."""
    return [parse_topology(f"{kind}:{shape}") for shape in _SCANS[CHIPS[kind].axes]]


def topology_mesh(topology: Topology, model: int = 1):
    """A mesh (data, model) over the devices of a topology that the TPU compiler describes; `data` spans the slices.

    `ENVIRONMENT` must be set before.

    Args:
      topology: slices to compile for.
      model: devices along the axis `model`.

    Returns:
      A jax.sharding.Mesh whose devices exist only for the compiler.

    Raises:
      ImportError: if libtpu is not installed.
      ValueError: if the compiler does not know the topology, or `model` does not divide its devices.
    """
    import importlib.util

    if importlib.util.find_spec("libtpu") is None:
        raise ImportError("the TPU compiler is missing: pip install 'prouter-jax[ahead]'")
    import jax
    import numpy as np
    from jax.experimental import mesh_utils, topologies
    from jax.sharding import AxisType

    from prouter_jax.sharding import DATA, MODEL

    each = topology.devices // topology.slices
    if each % model:
        raise ValueError(f"config.mesh.model: expected a divisor of {topology.name}'s {topology.unit}, found {model}")
    several = {"num_slices": topology.slices} if topology.slices > 1 else {}
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology.name, **several).devices
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"flag --topology: the compiler does not know {topology.name}: {error}") from error
    shape = (each // model, model)
    parts = [[d for d in devices if getattr(d, "slice_index", 0) == place] for place in range(topology.slices)]
    # Ordered as by jax.make_mesh; `model` may be a part of an axis of the torus.
    ordered = [mesh_utils.create_device_mesh(shape, part, allow_split_physical_axes=True) for part in parts]
    return jax.sharding.Mesh(np.concatenate(ordered), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)
