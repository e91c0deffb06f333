"""The programs of a run with abstract arguments: any number of users, on devices that are not attached."""

import copy
import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np

from prouter_jax.config import ExperimentConfig
from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import build_store
from prouter_jax.dataset import Dataset, prepare_dataset, read_source
from prouter_jax.graph.build import bucket, whole_chunks
from prouter_jax.graph.schema import EDGE_SETS, NODE_SETS, RouterGraph
from prouter_jax.model.answer_features import Observed
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import DATA, placed_shapes, replicated, users_sharding
from prouter_jax.training import run as train
from prouter_jax.training.state import TrainState
from prouter_jax.training.step import make_recipe, read_world
from prouter_jax.training.tuning import find_obstacle, make_episodes, make_tuning_world

KINDS: tuple[str, ...] = ("parameters", "optimizer", "world", "batch")


@dataclasses.dataclass(frozen=True)
class Program:
    """A function to compile, with abstract arguments.

    Attributes:
      name: such as "train step".
      function: result of `jax.jit`, without static arguments.
      arguments: pytrees of jax.ShapeDtypeStruct with shardings.
      kinds: one of `KINDS` for every array; a pytree prefix of `arguments`.
      users: users that one call reads, on all devices.
      calls: calls in an epoch; 0 for a program that is no part of one, such as scoring and what follows all epochs.
    """

    name: str
    function: Any
    arguments: tuple
    kinds: tuple
    users: int
    calls: float


_STATE = TrainState(*("batch", "parameters", "optimizer"), *["batch"] * 4)  # pyright: ignore[reportArgumentType]
_ENOUGH_QUERIES = 500  # of the embedded benchmark; more give the same shapes but for the number of queries


def make_programs(config: ExperimentConfig, mesh: jax.sharding.Mesh, users: int | None = None) -> list[Program]:
    """Train step and score step of a configuration, and preset tuned's gradient step; no array is put on a device.

    Args:
      config: configuration of the run.
      mesh: devices to compile for.
      users: number of users instead of those of the data. Where a step reads all users, their number is rounded up to
        whole chunks for each device.

    Raises:
      ValueError: on bad data.
    """
    dataset, growth = _small(config)
    shards = mesh.shape[DATA]
    graph = dataset.world.build_graph(shards=shards)
    sizes = {} if growth == 1 else _sizes(graph, growth)
    batch, steps = {}, 0
    number = users or max(len(dataset.world.interactions.users.ids), config.data.embedded.more_users)
    if config.train.users_per_step:
        batch, steps = _batch(config, dataset, mesh), math.ceil(number / config.train.users_per_step)
    else:
        number = shards * whole_chunks(math.ceil(number / shards))
        sizes |= {"user": number, "history": number * graph.layout.decisions * graph.layout.candidates}
    shapes = _shapes(graph, sizes, mesh)
    network = make_network(config, shapes, number)
    recipe = make_recipe(config, steps)
    state = train.compiled_init(network, recipe, mesh)[1]
    key = placed_shapes(jax.eval_shape(lambda: jax.random.key(0)), mesh)
    step = train.compiled_step(network, recipe, mesh)
    world = placed_shapes(jax.eval_shape(functools.partial(read_world, network, recipe), shapes), mesh)
    calls = steps or (1 if network.layers is None else recipe.masking.folds)
    at_once = config.train.users_per_step or number
    readers = (state.params, shapes), ("parameters", _kinds(shapes))
    programs = [
        Program(
            "train step", step, (state, world, batch, key), (_STATE, _kinds(world), "batch", "batch"), at_once, calls
        ),
        Program("score step", _reader(network), *readers, shapes.layout.users, 0),
    ]
    if network.transfer is not None and not find_obstacle(config, dataset):
        programs.insert(1, _gradient_step(config, dataset, growth, (network, recipe, mesh), state, shapes))
    return programs


def _gradient_step(
    config: ExperimentConfig, dataset: Dataset, growth: float, run: tuple, state: TrainState, graph: RouterGraph
) -> Program:
    """The gradient step of preset "tuned", which every device does whole but for the table of answers.

    Args:
      growth: factor by which queries are left out of `dataset`.
      run: network, recipe and mesh.
      state, graph: their shapes.
    """
    network, _, mesh = run
    queries = int(len(dataset.world.interactions.queries.ids) * growth)
    episode = dataclasses.replace(make_episodes(config, dataset), num_queries=queries).rows(1, 0)
    make_world = functools.partial(make_tuning_world, network, dataset=dataset)
    world = jax.eval_shape(make_world, state.params, state.opt_state.folds, graph)
    grown = jax.tree.map(lambda x: jax.ShapeDtypeStruct((queries, *x.shape[1:]), x.dtype), world.queries)
    folds, _, *answer = world.fitted.answers.shape
    answers = jax.ShapeDtypeStruct((folds, queries, *answer), world.fitted.answers.dtype)
    fitted = dataclasses.replace(world.fitted, answers=answers)
    world = dataclasses.replace(world, queries=grown, fitted=fitted)
    key = jax.eval_shape(lambda: jax.random.key(0))
    whole = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), (episode, key))
    arguments, kinds = (state, placed_shapes(world, mesh), *whole), (_STATE, "world", "batch", "batch")
    return Program("gradient step", train.compiled_tuning_step(*run), arguments, kinds, len(episode["user"]), 0)


def _small(config: ExperimentConfig) -> tuple[Dataset, float]:
    """The data, and 1; of the embedded benchmark a small part, and the factor by which queries are left out."""
    config = copy.deepcopy(config)
    made, asked = config.data.embedded, config.data.embedded.num_queries
    made.more_users, made.num_queries = 0, min(asked, _ENOUGH_QUERIES)
    growth = asked / made.num_queries if config.data.source == "embedded" else 1
    return prepare_dataset(read_source(config.data), config.data, config.seed), growth


def _sizes(graph: RouterGraph, growth: float) -> dict[str, int]:
    """Sizes of the node and edge sets that grow with the queries."""
    queries = bucket(int(graph.layout.num("query") * growth))
    outcomes = bucket(queries * graph.layout.num("llm"))
    by_query: dict[str, int] = dict.fromkeys(("query", "query_to_task", "task_to_query"), queries)
    return {**by_query, "query_to_llm": outcomes, "llm_to_query": outcomes}


def _batch(config: ExperimentConfig, dataset: Dataset, mesh: jax.sharding.Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a training batch."""
    store, train_config = build_store(dataset.world.interactions), config.train
    rows = np.arange(len(dataset.world.interactions.queries.ids))
    row = Batches(store, rows, 1, train_config.history_length, 0).rows(0, 0, 1)
    shape = (train_config.users_per_step,)
    return {
        name: jax.ShapeDtypeStruct((*shape, *x.shape[1:]), x.dtype, sharding=users_sharding(mesh))
        for name, x in row.items()
    }


def _reader(network: Architecture):
    """The function that computes the states of all users for scoring."""
    return jax.jit(lambda params, graph: network.bind(params)(graph).users)


def _kinds(world: RouterGraph | Observed) -> RouterGraph | Observed:
    """Kind of each array: "batch" for the one that grows with the users, the visible decisions, else "world"."""

    def kind(path, _) -> str:
        return "batch" if jax.tree_util.keystr(path, simple=True, separator="/") == "visibility/decisions" else "world"

    return jax.tree_util.tree_map_with_path(kind, world)


def _shapes(graph: RouterGraph, sizes: dict[str, int], mesh: jax.sharding.Mesh) -> RouterGraph:
    """The shapes of the graph with node and edge sets of other sizes, placed on the mesh."""
    layout = graph.layout
    nodes = tuple(sizes.get(name, size) for name, size in zip(NODE_SETS, layout.nodes, strict=True))
    edges = tuple(sizes.get(name, size) for name, size in zip(EDGE_SETS, layout.edges, strict=True))
    users, queries = nodes[NODE_SETS.index("user")], nodes[NODE_SETS.index("query")]

    def like(x, rows: int | None = None) -> jax.ShapeDtypeStruct:
        shape = np.shape(x) if rows is None else (rows, *np.shape(x)[1:])
        return jax.ShapeDtypeStruct(shape, np.asarray(x).dtype)

    of_edges = {name: getattr(graph.graph, name) for name in ("edges", "senders", "receivers")}
    sized = jax.tree.map(lambda x: like(x, sum(edges)), of_edges)
    sized["nodes"] = like(graph.graph.nodes, sum(nodes))
    seen = jax.tree.map(lambda x: like(x, queries), graph.visibility)
    decided = jax.ShapeDtypeStruct((users, layout.decisions), np.float32)
    sized_graph = dataclasses.replace(
        graph,
        graph=jax.tree.map(like, graph.graph)._replace(**sized),
        style=like(graph.style, queries),
        visibility=dataclasses.replace(seen, decisions=decided),
        layout=dataclasses.replace(layout, users=users, nodes=nodes, edges=edges),
    )
    return placed_shapes(sized_graph, mesh)
