"""Where arrays live: axis names, the mesh, and one table from parameter names to axes."""

import dataclasses
import math
import re

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.config import Mesh
from prouter_jax.graph import RouterGraph

DATA, MODEL = "data", "model"

_WORTH_SHARDING = 2**20  # elements: what is smaller is whole on every device, to be read without waiting for others

# the first pattern that matches a parameter's (or its optimizer moment's) path decides
RULES = (
    (r".*/(tastes|push|curvature)", P(DATA)),  # by queries
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


def state_shardings(state, mesh: jax.sharding.Mesh):
    """A sharding for every array of a train state, by `RULES`.

    An axis that does not divide is not sharded, nor are the answers' arrays where there are few queries.
    """

    def one(path, leaf) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = next(spec for pattern, spec in RULES if re.fullmatch(pattern, name))
        fits = len(spec) <= len(leaf.shape) and all(
            axis is None or size % mesh.shape[axis] == 0 for axis, size in zip(spec, leaf.shape, strict=False)
        )
        worth = DATA not in spec or math.prod(leaf.shape) >= _WORTH_SHARDING
        return NamedSharding(mesh, spec if fits and worth else P())

    return jax.tree_util.tree_map_with_path(one, state)


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


def place_graph(graph: RouterGraph, mesh: jax.sharding.Mesh) -> RouterGraph:
    """Copies the graph to every device; what is visible of the histories is divided by users."""
    places = jax.tree.map(lambda _: replicated(mesh), graph)
    divided = dataclasses.replace(places.visibility, decisions=users_sharding(mesh))

    def put(array, sharding: NamedSharding) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(array, sharding)
        # device_put would compare the processes' arrays, and find that NaN is not NaN
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(put, jax.tree.map(np.asarray, graph), dataclasses.replace(places, visibility=divided))
