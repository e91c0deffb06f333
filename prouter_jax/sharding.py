"""Where arrays live: axis names, the mesh, and one table from parameter names to axes."""

import dataclasses
import re

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.config import Mesh
from prouter_jax.graph import RouterGraph

DATA, MODEL = "data", "model"

# the first pattern that matches a parameter's (or its optimizer moment's) path decides
RULES = (
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
    """A sharding for every array of a train state, by `RULES`; an axis that does not divide is not sharded."""

    def one(path, leaf) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = next(spec for pattern, spec in RULES if re.fullmatch(pattern, name))
        fits = len(spec) <= len(leaf.shape) and all(
            axis is None or size % mesh.shape[axis] == 0 for axis, size in zip(spec, leaf.shape, strict=False)
        )
        return NamedSharding(mesh, spec if fits else P())

    return jax.tree_util.tree_map_with_path(one, state)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For what every device holds whole."""
    return NamedSharding(mesh, P())


def users_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """For arrays [users, ...]: this is what spreads the work over the data axis."""
    return NamedSharding(mesh, P(DATA))


def place_graph(graph: RouterGraph, mesh: jax.sharding.Mesh) -> RouterGraph:
    """Copies the graph to every device; what is visible of the histories is divided by users."""
    placed = jax.device_put(jax.tree.map(np.asarray, graph), replicated(mesh))
    decisions = jax.device_put(placed.visibility.decisions, users_sharding(mesh))
    return dataclasses.replace(placed, visibility=dataclasses.replace(placed.visibility, decisions=decisions))
