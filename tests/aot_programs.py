"""Compiles small programs for v5e:4x4 and for every kind of chip, and prints the forecasts as JSON: run by tests.

It is a process of its own, in the environment `prouter_jax.aot.topology.ENVIRONMENT`.
"""

import json
import math

from prouter_jax.aot.compiled import forecast, to_json
from prouter_jax.aot.lower import Program
from prouter_jax.aot.topology import parse_topology, topology_mesh

WIDTH, BATCH, ROUNDS = 512, 1024, 10
KINDS = ("v5e:2x2", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1")  # the smallest slice of each


def main() -> None:
    topology = parse_topology("v5e:4x4")
    mesh = topology_mesh(topology, model=2)
    programs = {"step": _step(mesh), "scan": _scan(mesh), "big": _big(mesh, topology)}
    found = {name: to_json(forecast(program, topology, mesh)) for name, program in programs.items()}
    found["scan on two slices"] = to_json(_on_two_slices(topology.name))
    for name in KINDS:
        found |= {f"{program} on {name}": to_json(one) for program, one in _on_a_kind(name).items()}
    print(json.dumps(found))


def _of(mesh, shape, *spec):
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    return jax.ShapeDtypeStruct(shape, "float32", sharding=NamedSharding(mesh, PartitionSpec(*spec)))


def _step(mesh) -> Program:
    """Matrix products of a batch over `data`, a gradient that is summed and left divided, a step of an optimizer."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    def loss(w, x):
        return (jax.numpy.tanh(x @ w) ** 2).sum()

    def step(w, moment, table, x):
        gradient = jax.grad(loss)(w, x + table.mean(0))
        moment = 0.9 * moment + gradient
        return w - moment, moment

    placed = NamedSharding(mesh, PartitionSpec())
    parts = NamedSharding(mesh, PartitionSpec("data"))
    function = jax.jit(step, donate_argnums=(0, 1), out_shardings=(placed, parts))
    arguments = (
        _of(mesh, (WIDTH, WIDTH)),
        _of(mesh, (WIDTH, WIDTH), "data"),
        _of(mesh, (256, WIDTH)),
        _of(mesh, (BATCH, WIDTH), "data"),
    )
    return Program("train step", function, arguments, ("parameters", "optimizer", "world", "batch"), BATCH, 5)


def _scan(mesh) -> Program:
    """A psum of [128, 256] over `data` in each of ten rounds."""
    import jax
    from jax.sharding import PartitionSpec as P

    def rounds(c, x):
        return jax.lax.scan(lambda c, row: (c + jax.lax.psum(jax.numpy.sin(c) * row.sum(), "data"), None), c, x)[0]

    function = jax.jit(jax.shard_map(rounds, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False))
    arguments = (_of(mesh, (128, 256)), _of(mesh, (mesh.shape["data"] * ROUNDS, 8), "data"))
    return Program("scan", function, arguments, ("parameters", "batch"), BATCH, 1)


def _big(mesh, topology) -> Program:
    """Two arrays of three quarters of a device's memory each, in whole GiB: 12 GiB on a chip of 16."""
    import jax

    function = jax.jit(lambda x, y: x[::-1] + y * 2)
    shape = (3 * 2**6 * math.ceil(topology.device.hbm / 2**30), 2**20)
    arguments = (_of(mesh, shape), _of(mesh, shape))
    return Program("big", function, arguments, ("world", "world"), BATCH, 1)


def _on_a_kind(name: str):
    topology = parse_topology(name)
    mesh = topology_mesh(topology)
    programs = {"scan": _scan(mesh), "big": _big(mesh, topology)}
    return {which: forecast(program, topology, mesh) for which, program in programs.items()}


def _on_two_slices(name: str):
    topology = parse_topology(name, slices=2)
    mesh = topology_mesh(topology, model=2)
    return forecast(_scan(mesh), topology, mesh)


if __name__ == "__main__":
    main()
