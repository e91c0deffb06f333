"""The programs of a run whose every step reads the whole graph, for a number of users that nobody has generated."""

import dataclasses
import math

import jax
import numpy as np

from prouter_jax import train
from prouter_jax.ahead.program import Program
from prouter_jax.bayes.inference import BayesNetwork
from prouter_jax.config import ExperimentConfig
from prouter_jax.graph import EDGE_SETS, NODE_SETS, RouterGraph
from prouter_jax.graph_build import USERS_AT_ONCE
from prouter_jax.networks import Network, make_network, make_recipe
from prouter_jax.prepare import prepare, read_source
from prouter_jax.sharding import DATA, replicated, users_sharding
from prouter_jax.train_state import TrainState

_STATE = TrainState(*("batch", "parameters", "optimizer"), *["batch"] * 4)  # pyright: ignore[reportArgumentType]


def make_programs(config: ExperimentConfig, mesh: jax.sharding.Mesh, users: int | None = None) -> list[Program]:
    """Train step and score step of a configuration, as shapes: nothing is put on a device.

    Args:
      users: in place of those in the data; filled up to a whole number of chunks for each chip.

    Raises:
      ValueError: on bad data.
    """
    prepared = prepare(read_source(config.data), config.data, config.seed)
    world, shards = prepared.world, mesh.shape[DATA]
    graph = world.build_graph(shards=shards)
    number = _filled(len(world.interactions.users.ids) if users is None else users, shards)
    shapes = _shapes(graph, number, mesh)
    network = make_network(config.model, shapes, number)
    recipe = make_recipe(config)
    state = train._compiled_init(network, recipe, mesh)[1]
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(mesh))
    step = train._compiled_step(network, recipe, mesh)
    calls = 1 if isinstance(network, BayesNetwork) else recipe.hiding.folds
    return [
        Program("train step", step, (state, shapes, key), (_STATE, _kinds(shapes), "batch"), number, calls),
        Program("score step", _reader(network), (state.params, shapes), ("parameters", _kinds(shapes)), number, 0),
    ]


def _reader(network: Network):
    """Reads all users, as scoring does before it compares them with answers."""
    if isinstance(network, BayesNetwork):
        return jax.jit(lambda params, graph: network.read_users(params, graph, network.answers(params, graph)))
    return jax.jit(lambda params, graph: network.bind(params)(graph))


def _kinds(graph: RouterGraph) -> RouterGraph:
    """The world is what does not grow with the users; here the histories are among its edges."""
    kinds = jax.tree.map(lambda _: "world", graph)
    return dataclasses.replace(kinds, visibility=dataclasses.replace(kinds.visibility, decisions="batch"))


def _filled(users: int, shards: int) -> int:
    each = math.ceil(users / shards)
    return shards * (each if each <= USERS_AT_ONCE else math.ceil(each / USERS_AT_ONCE) * USERS_AT_ONCE)


def _shapes(graph: RouterGraph, users: int, mesh: jax.sharding.Mesh) -> RouterGraph:
    """The graph's shapes as they would be with so many users."""
    layout, whole = graph.layout, replicated(mesh)
    nodes = _with(layout.nodes, NODE_SETS.index("user"), users)
    edges = _with(layout.edges, EDGE_SETS.index("history"), users * layout.decisions * layout.candidates)

    def like(x, rows: int | None = None) -> jax.ShapeDtypeStruct:
        shape = np.shape(x) if rows is None else (rows, *np.shape(x)[1:])
        return jax.ShapeDtypeStruct(shape, np.asarray(x).dtype, sharding=whole)

    of_edges = {name: getattr(graph.graph, name) for name in ("edges", "senders", "receivers")}
    sized = jax.tree.map(lambda x: like(x, sum(edges)), of_edges)
    sized["nodes"] = like(graph.graph.nodes, sum(nodes))
    seen = jax.tree.map(like, graph.visibility)
    decided = jax.ShapeDtypeStruct((users, layout.decisions), np.float32, sharding=users_sharding(mesh))
    return dataclasses.replace(
        graph,
        graph=jax.tree.map(like, graph.graph)._replace(**sized),
        style=like(graph.style),
        visibility=dataclasses.replace(seen, decisions=decided),
        layout=dataclasses.replace(layout, users=users, nodes=nodes, edges=edges),
    )


def _with(sizes: tuple[int, ...], place: int, size: int) -> tuple[int, ...]:
    return (*sizes[:place], size, *sizes[place + 1 :])
