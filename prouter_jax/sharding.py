"""Sharding: the device mesh, its axis names, and one table of rules from array names to partition specs."""

import math
import re

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.config import Mesh

DATA, MODEL = "data", "model"

EVERY = (DATA, MODEL)  # axes of what is divided over all devices
_MANY_ANSWERS = 2**18  # smaller tables [queries, llms, ...] are replicated: reads then need no communication
_ANSWERS = P(EVERY)  # [queries, llms, ...]
_ANSWERS_OF_FOLDS = P(None, EVERY)  # [folds, queries, llms, ...]

# (pattern, spec): the first pattern that matches an array's path in its tree; optimizer moments match like parameters
RULES = (
    (r"(.*/)?(folds/latent_factors|fitted/answers)", _ANSWERS_OF_FOLDS),
    (r"(.*/)?(latent_factors|messages|values|seen|answers)", _ANSWERS),
    (r"(.*/)?decisions", P(DATA)),  # [users, decisions]: distributes the work of a step on the whole graph
    (r".*/(message|update|query|task|llm|both)/.*kernel", P(None, MODEL)),
    (r".*", P()),
)


def make_mesh(config: Mesh) -> jax.sharding.Mesh:
    """Makes the mesh of the configured shape, with axes "data" and "model", over the first devices.

    Raises:
      ValueError: if the machine has fewer devices than the mesh, or a process has no device in the mesh.
    """
    needed = config.data * config.model
    if needed > jax.device_count():
        raise ValueError(
            f"config.mesh: expected at most {jax.device_count()} devices, found {config.data} x {config.model}"
        )
    devices = jax.devices()[:needed]
    owners = {device.process_index for device in devices}
    if len(owners) < jax.process_count():
        raise ValueError(
            f"config.mesh: expected devices of all {jax.process_count()} processes, found {config.data} x "
            f"{config.model} devices of {len(owners)}; set config.mesh.data to the number of all devices"
        )
    return jax.make_mesh((config.data, config.model), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2, devices=devices)


def shardings(tree, mesh: jax.sharding.Mesh):
    """Returns the sharding of every array of a pytree, by `RULES`.

    Args:
      tree: a train state, a graph, `model.answer_features.Observed` or `training.tuning.TuningWorld`; arrays or shapes.
    """

    def one(path, leaf) -> NamedSharding:
        return NamedSharding(mesh, spec_of(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(one, tree)


def placed_shapes(shapes, mesh: jax.sharding.Mesh):
    """Returns a pytree of shapes with the sharding of each: abstract arrays to compile for or to restore into."""
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes, shardings(shapes, mesh)
    )


def spec_of(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> P:
    """Returns the partition spec of an array, by `RULES`.

    An array is replicated if its shape is not divisible by the mesh, or if it is a small table of answers.

    Args:
      path: names of the array in its pytree, joined by "/".
    """
    spec = next(spec for pattern, spec in RULES if re.fullmatch(pattern, path))
    fits = len(spec) <= len(shape) and all(
        size % _num_parts(axes, mesh) == 0 for axes, size in zip(spec, shape, strict=False)
    )
    few = spec in (_ANSWERS, _ANSWERS_OF_FOLDS) and math.prod(shape[-3:-1]) < _MANY_ANSWERS
    return spec if fits and not few else P()


def _num_parts(axes: str | tuple[str, ...] | None, mesh: jax.sharding.Mesh) -> int:
    """Number of parts that an array's axis is divided into."""
    names = (axes,) if isinstance(axes, str) else axes or ()
    return math.prod(mesh.shape[name] for name in names)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, P())


def users_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Returns the sharding of arrays [users, ...]: divided by users over the data axis."""
    return NamedSharding(mesh, P(DATA))


def to_host(tree):
    """Copies a pytree to the host as whole NumPy arrays.

    Arrays with shards in several processes are gathered, so all processes must make this call.
    """

    def gathered(leaf):
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.device_get(jax.tree.map(gathered, tree))


def place(tree, mesh: jax.sharding.Mesh):
    """Puts a pytree of host arrays on the devices of a mesh, by `shardings`; same in all processes."""

    def put(array, sharding: NamedSharding) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(array, sharding)
        # device_put compares the arrays of all processes, and NaN differs from NaN
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(put, jax.tree.map(np.asarray, tree), shardings(tree, mesh))
