"""Compiles a program for a topology and forecasts it: memory, work, collectives and time. No chip is needed."""

import dataclasses
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import jax

from prouter_jax.aot.collectives import DCN, ICI, Collective, find_collectives
from prouter_jax.aot.cost import Work, count_work
from prouter_jax.aot.hlo import Module, count_runs, parse_module
from prouter_jax.aot.lower import KINDS, Program
from prouter_jax.aot.topology import Topology

RESULTS, TEMPORARIES, CODE = "results", "temporaries", "program code"


@dataclasses.dataclass(frozen=True)
class Forecast:
    """One call of a compiled program on one device (a chip; of tpu7x half a chip), as read from the compiled text.

    Attributes:
      name: of the program.
      users: users whose histories one call of the program reads, on all devices together.
      calls: calls in an epoch; 0 for a program that is not part of training.
      memory: bytes by kind.
      fits: whether the memory is at most the device's HBM.
      refusal: the compiler's message if it refused to compile; then work and collectives are empty. Else "".
      work: operations, bytes and cycles.
      collectives: transfers between devices.
      unknown_loops: number of loops that are counted once because the text does not tell their trip counts.
      compile_seconds: time of compilation on this machine.
    """

    name: str
    users: int
    calls: float
    memory: dict[str, float]
    fits: bool
    refusal: str
    work: Work
    collectives: tuple[Collective, ...]
    unknown_loops: int
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one call; nothing is assumed to overlap.

    Attributes:
      compute: the largest of three estimates: the compiler's cycles (for instructions without cycles, their bytes over
        the bandwidth of HBM), operations over the peak, bytes from and to HBM over its bandwidth.
      by: name of the largest estimate.
      ici: collectives within a slice.
      dcn: collectives between slices.
    """

    compute: float
    by: str
    ici: float
    dcn: float

    @property
    def total(self) -> float:
        """Computation and collectives."""
        return self.compute + self.wire

    @property
    def wire(self) -> float:
        """All collectives."""
        return self.ici + self.dcn


def forecast(program: Program, topology: Topology, mesh: jax.sharding.Mesh) -> Forecast:
    """Lowers and compiles a program and reads its costs from the compiled text.

    Args:
      program: its arguments are placed on `mesh`.
      topology: the chips to compile for.
      mesh: of `topology_mesh(topology)`.
    """
    begun = time.monotonic()
    try:
        compiled = program.function.lower(*program.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _refused(program, str(error), time.monotonic() - begun)
    seconds = time.monotonic() - begun
    module = parse_module(compiled.as_text())
    runs = count_runs(module)
    memory = count_memory(program, module, compiled.memory_analysis())
    return Forecast(
        program.name,
        program.users,
        program.calls,
        memory,
        fits=sum(memory.values()) <= topology.device.hbm,
        refusal="",
        work=count_work(module, runs),
        collectives=tuple(find_collectives(module, runs, topology, dict(mesh.shape))),
        unknown_loops=len(runs.unknown),
        compile_seconds=seconds,
    )


def times_of(one: Forecast, topology: Topology) -> Times:
    """Seconds of one call on the topology that the program was compiled for."""
    device, work = topology.device, one.work
    estimates = {
        "the compiler's cycles": work.cycles / device.clock + work.uncosted_bytes / device.hbm_bandwidth,
        "flops / peak": work.flops / device.peak_flops,
        "bytes / HBM bandwidth": work.hbm_bytes / device.hbm_bandwidth,
    }
    by = max(estimates, key=lambda name: estimates[name])
    wire: dict[str, float] = dict.fromkeys((ICI, DCN), 0.0)
    for collective in one.collectives:
        wire[collective.network] += collective.times * collective.seconds
    return Times(estimates[by], by, wire[ICI], wire[DCN])


def count_memory(program: Program, module: Module, stats) -> dict[str, float]:
    """Bytes on a device by kind: arguments by `KINDS`, results without the donated ones, temporaries, and code.

    Args:
      program: source of `module`.
      module: compiled text.
      stats: result of `compiled.memory_analysis()`.
    """
    memory: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    entry = module.computations[module.entry]
    parameters = [(int(one.inner), one.shapes) for one in entry.values() if one.opcode == "parameter"]
    arguments = _compiled_arguments(program)
    for _, (shape,) in sorted(parameters):
        # Parameters keep the order of the arguments; arguments that the function does not use have no parameter.
        kind = next(kind for kind, dtype, dims in arguments if (dtype, dims) == (shape.dtype, shape.dims))
        memory[kind] += shape.padded_bytes
    return memory | {
        RESULTS: float(stats.output_size_in_bytes - stats.alias_size_in_bytes),
        TEMPORARIES: float(stats.temp_size_in_bytes),
        CODE: float(stats.generated_code_size_in_bytes),
    }


def shape_bytes(program: Program) -> dict[str, float]:
    """Bytes of the arguments on a device by kind, from their shapes alone, without padding."""
    memory: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for struct, kind in _structs(program):
        dims, dtype = _local_shape(struct)
        memory[kind] += float(dtype.itemsize * math.prod(dims))
    return memory


def to_json(one: Forecast) -> dict[str, Any]:
    """As values for JSON."""
    return dataclasses.asdict(one)


def from_json(values: dict[str, Any]) -> Forecast:
    """The inverse of `to_json`."""
    work, collectives = Work(**values["work"]), tuple(Collective(**one) for one in values["collectives"])
    return Forecast(**values | {"work": work, "collectives": collectives})


def _refused(program: Program, message: str, seconds: float) -> Forecast:
    found = re.search(r"RESOURCE_EXHAUSTED: *([^\n]*)", message)
    refusal = " ".join((found[1] if found else message).split())
    work, memory = Work(0, 0, 0, {}, 0), shape_bytes(program)
    return Forecast(program.name, program.users, program.calls, memory, False, refusal, work, (), 0, seconds)


def _compiled_arguments(program: Program) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Kind, the compiler's name of the type, and dimensions on a device of each argument."""
    for struct, kind in _structs(program):
        dims, dtype = _local_shape(struct)
        letter = {"f": "f", "i": "s", "u": "u", "b": "pred"}.get(dtype.kind, "bf")
        yield kind, letter if letter == "pred" else f"{letter}{dtype.itemsize * 8}", dims


def _structs(program: Program):
    kinds = jax.tree.leaves(jax.tree.broadcast(program.kinds, program.arguments))
    return zip(jax.tree.leaves(program.arguments), kinds, strict=True)


def _local_shape(struct: jax.ShapeDtypeStruct):
    """Dimensions and type of an array's part on a device; for a random key, of the numbers that it consists of."""
    dims = struct.shape if struct.sharding is None else struct.sharding.shard_shape(struct.shape)
    if not jax.numpy.issubdtype(struct.dtype, jax.dtypes.prng_key):
        return dims, jax.numpy.dtype(struct.dtype)
    data = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), struct.dtype))
    return (*dims, *data.shape), jax.numpy.dtype(data.dtype)
