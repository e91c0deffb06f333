"""Where arrays live: axis names, the mesh, and one table from names to axes."""

import math
import re

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.config import Mesh

DATA, MODEL = "data", "model"

_MANY_ANSWERS = 2**18  # fewer are whole on every device, to be read without waiting for others

# the first pattern that matches an array's path in its tree decides; an optimizer's moments go with their parameters
RULES = (
    (r"(.*/)?(tastes|messages|values|seen|answers)", P(DATA)),  # [queries, llms, ...]
    (r"(.*/)?decisions", P(DATA)),  # [users, decisions]: this is what spreads the work on a whole graph
    (r".*/(message|update|query|task|llm|both)/.*kernel", P(None, MODEL)),
    (r".*", P()),
)


def make_mesh(config: Mesh) -> jax.sharding.Mesh:
    """The mesh of the configured shape over the first devices.

    Raises:
      ValueError: if there are fewer devices.
    """
    needed = config.data * config.model
    if needed > jax.device_count():
        raise ValueError(
            f"config.mesh: expected at most {jax.device_count()} devices, found {config.data} x {config.model}"
        )
    devices = jax.devices()[:needed]
    return jax.make_mesh((config.data, config.model), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2, devices=devices)


def shardings(tree, mesh: jax.sharding.Mesh):
    """A sharding for every array of a train state, a graph or `model.answer_features.Observed`, by `RULES`."""

    def one(path, leaf) -> NamedSharding:
        return NamedSharding(mesh, spec_of(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(one, tree)


def placed_shapes(shapes, mesh: jax.sharding.Mesh):
    """Shapes with their `shardings`: what stands for arrays of a tree before there are any."""
    places = shardings(shapes, mesh)
    return jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, places)


def spec_of(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> P:
    """The axes of an array, by `RULES`.

    An axis that does not divide is not sharded, nor are few answers.
    """
    spec = next(spec for pattern, spec in RULES if re.fullmatch(pattern, path))
    fits = len(spec) <= len(shape) and all(
        axis is None or size % mesh.shape[axis] == 0 for axis, size in zip(spec, shape, strict=False)
    )
    few = len(shape) == 3 and spec == P(DATA) and math.prod(shape[:2]) < _MANY_ANSWERS
    return spec if fits and not few else P()


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For what every device holds whole."""
    return NamedSharding(mesh, P())


def users_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For arrays [users, ...]: this is what spreads the work over the data axis."""
    return NamedSharding(mesh, P(DATA))


def to_host(tree):
    """Arrays whole on the host, also those whose parts lie with several processes, who then all make this call."""

    def gathered(leaf):
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.device_get(jax.tree.map(gathered, tree))


def place(tree, mesh: jax.sharding.Mesh):
    """Puts the arrays of a graph, or of `model.answer_features.Observed`, on the devices of a mesh."""

    def put(array, sharding: NamedSharding) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(array, sharding)
        # device_put would compare the processes' arrays, and find that NaN is not NaN
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(put, jax.tree.map(np.asarray, tree), shardings(tree, mesh))
