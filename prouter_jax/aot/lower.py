"""The programs of a run as shapes: for users that nobody has generated, on devices that are not there."""

import copy
import dataclasses
import functools
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from prouter_jax.aot.collectives import DCN, ICI, Collective, find_collectives
from prouter_jax.aot.cost import Work, count_work
from prouter_jax.aot.hlo import Module, count_runs, parse_module
from prouter_jax.aot.topology import Topology
from prouter_jax.config import ExperimentConfig
from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import store_of
from prouter_jax.dataset import Prepared, prepare, read_source
from prouter_jax.graph.build import bucket, whole_chunks
from prouter_jax.graph.schema import EDGE_SETS, NODE_SETS, RouterGraph
from prouter_jax.model.answer_features import Observed
from prouter_jax.model.inference import Network, make_network
from prouter_jax.model.network import BayesNetwork
from prouter_jax.sharding import DATA, placed_shapes, users_sharding
from prouter_jax.training import loop as train
from prouter_jax.training.state import TrainState
from prouter_jax.training.step import make_recipe, read_world

KINDS: tuple[str, ...] = ("parameters", "optimizer", "world", "batch")


@dataclasses.dataclass(frozen=True)
class Program:
    """What is to be compiled.

    Attributes:
      name: such as "train step".
      function: of `jax.jit`, without static arguments.
      arguments: pytrees of jax.ShapeDtypeStruct with shardings, as the function takes them.
      kinds: one of `KINDS` for every array, as a prefix of `arguments`: ("world", ...) stands for all of a pytree.
      users: how many one call takes, on all chips together.
      calls: in an epoch; 0 for what is no part of training.
    """

    name: str
    function: Any
    arguments: tuple
    kinds: tuple
    users: int
    calls: float


_STATE = TrainState(*("batch", "parameters", "optimizer"), *["batch"] * 4)  # pyright: ignore[reportArgumentType]
_ENOUGH_QUERIES = 500  # of the embedded benchmark, to see the shapes of: more would be the same


def make_programs(config: ExperimentConfig, mesh: jax.sharding.Mesh, users: int | None = None) -> list[Program]:
    """Train step and score step of a configuration, as shapes: nothing is put on a device.

    Args:
      users: in place of those in the data; where a step reads all of them, filled up to whole chunks for each chip.

    Raises:
      ValueError: on bad data.
    """
    prepared, growth = _small(config)
    shards = mesh.shape[DATA]
    graph = prepared.world.build_graph(shards=shards)
    sizes = {} if growth == 1 else _sizes(graph, growth)
    batch, steps = {}, 0
    number = users or max(len(prepared.world.interactions.users.ids), config.data.embedded.more_users)
    if config.train.users_per_step:
        batch, steps = _batch(config, prepared, mesh), math.ceil(number / config.train.users_per_step)
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
    calls = steps or (1 if isinstance(network, BayesNetwork) else recipe.hiding.folds)
    at_once = config.train.users_per_step or number
    readers = (state.params, shapes), ("parameters", _kinds(shapes))
    return [
        Program(
            "train step", step, (state, world, batch, key), (_STATE, _kinds(world), "batch", "batch"), at_once, calls
        ),
        Program("score step", _reader(network), *readers, shapes.layout.users, 0),
    ]


def _small(config: ExperimentConfig) -> tuple[Prepared, float]:
    """The data, or a small part of the embedded benchmark and how many times as many queries there are."""
    config = copy.deepcopy(config)
    made, asked = config.data.embedded, config.data.embedded.num_queries
    made.more_users, made.num_queries = 0, min(asked, _ENOUGH_QUERIES)
    growth = asked / made.num_queries if config.data.source == "embedded" else 1
    return prepare(read_source(config.data), config.data, config.seed), growth


def _sizes(graph: RouterGraph, growth: float) -> dict[str, int]:
    """Of the node and edge sets that grow with the queries."""
    queries = bucket(int(graph.layout.num("query") * growth))
    outcomes = bucket(queries * graph.layout.num("llm"))
    by_query: dict[str, int] = dict.fromkeys(("query", "query_to_task", "task_to_query"), queries)
    return {**by_query, "query_to_llm": outcomes, "llm_to_query": outcomes}


def _batch(config: ExperimentConfig, prepared: Prepared, mesh: jax.sharding.Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch, as of a row of one."""
    store, train_config = store_of(prepared.world.interactions), config.train
    rows = np.arange(len(prepared.world.interactions.queries.ids))
    row = Batches(store, rows, 1, train_config.history_length, 0).rows(0, 0, 1)
    shape = (train_config.users_per_step,)
    return {
        name: jax.ShapeDtypeStruct((*shape, *x.shape[1:]), x.dtype, sharding=users_sharding(mesh))
        for name, x in row.items()
    }


def _reader(network: Network):
    """Reads all users, as scoring does before it compares them with answers."""
    if isinstance(network, BayesNetwork):
        return jax.jit(lambda params, graph: network.read_users(params, graph, network.answers(params, graph)))
    return jax.jit(lambda params, graph: network.bind(params)(graph))


def _kinds(world: RouterGraph | Observed) -> RouterGraph | Observed:
    """The world is what does not grow with the users; of a graph the histories are among its edges."""

    def kind(path, _) -> str:
        return "batch" if jax.tree_util.keystr(path, simple=True, separator="/") == "visibility/decisions" else "world"

    return jax.tree_util.tree_map_with_path(kind, world)


def _shapes(graph: RouterGraph, sizes: dict[str, int], mesh: jax.sharding.Mesh) -> RouterGraph:
    """The graph's shapes as they would be with node and edge sets of other sizes."""
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


RESULTS, TEMPORARIES, CODE = "results", "temporaries", "program code"


def count_memory(program: Program, module: Module, stats) -> dict[str, float]:
    """Bytes of a chip by kind: the arguments', then results that take no argument's place, temporaries and code.

    Args:
      stats: of `compiled.memory_analysis()`.
    """
    held: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    entry = module.computations[module.entry]
    parameters = [(int(one.inner), one.shapes) for one in entry.values() if one.opcode == "parameter"]
    wanted = _leaves(program)
    for _, (shape,) in sorted(parameters):
        # arguments that the function does not use are no parameters; those that it uses come in their order
        kind = next(kind for kind, dtype, dims in wanted if (dtype, dims) == (shape.dtype, shape.dims))
        held[kind] += shape.padded_bytes
    return held | {
        RESULTS: float(stats.output_size_in_bytes - stats.alias_size_in_bytes),
        TEMPORARIES: float(stats.temp_size_in_bytes),
        CODE: float(stats.generated_code_size_in_bytes),
    }


def shape_bytes(program: Program) -> dict[str, float]:
    """Bytes of a chip's part of the arguments by kind, as their shapes say, without the padding of a layout."""
    held: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for struct, kind in _structs(program):
        local, dtype = _local(struct)
        held[kind] += float(dtype.itemsize * math.prod(local))
    return held


def _leaves(program: Program) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Kind, the compiler's name of the type, and a chip's part of each argument."""
    for struct, kind in _structs(program):
        local, dtype = _local(struct)
        letter = {"f": "f", "i": "s", "u": "u", "b": "pred"}.get(dtype.kind, "bf")
        yield kind, letter if letter == "pred" else f"{letter}{dtype.itemsize * 8}", local


def _structs(program: Program):
    kinds = jax.tree.leaves(jax.tree.broadcast(program.kinds, program.arguments))
    return zip(jax.tree.leaves(program.arguments), kinds, strict=True)


def _local(struct: jax.ShapeDtypeStruct):
    """A chip's part of an array; of a random key the numbers behind it."""
    local = struct.shape if struct.sharding is None else struct.sharding.shard_shape(struct.shape)
    if not jax.numpy.issubdtype(struct.dtype, jax.dtypes.prng_key):
        return local, jax.numpy.dtype(struct.dtype)
    behind = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), struct.dtype))
    return (*local, *behind.shape), jax.numpy.dtype(behind.dtype)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one chip in one call, before any chip was seen.

    Attributes:
      users, calls: as the program has them.
      memory: bytes by kind; fits: whether that is at most the chip's HBM.
      refusal: why the compiler would not compile it; then there is no work and no collective. Empty if it did.
      unknown_loops: how many loops are counted once because the text does not say how often they go round.
      compile_seconds: on this machine.
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
    """Seconds of one call; nothing is taken to overlap.

    Attributes:
      compute: the longest of three, which `by` names: the compiler's cycles (where it gives none for an instruction,
        its bytes over HBM's bandwidth), flops over the peak, bytes from and to HBM over its bandwidth.
      ici, dcn: on the wire, within a slice and between slices.
    """

    compute: float
    by: str
    ici: float
    dcn: float

    @property
    def total(self) -> float:
        return self.compute + self.ici + self.dcn

    @property
    def wire(self) -> float:
        return self.ici + self.dcn


def measure(program: Program, topology: Topology, mesh) -> Measured:
    """Lowers and compiles a program for the chips of a mesh and reads what came out.

    Args:
      mesh: of `topology_mesh(topology)`, on which the program's arguments are placed.
    """
    import jax

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
    return Measured(
        program.name,
        program.users,
        program.calls,
        memory,
        fits=sum(memory.values()) <= topology.chip.hbm,
        refusal="",
        work=count_work(module, runs),
        collectives=tuple(find_collectives(module, runs, topology, dict(mesh.shape))),
        unknown_loops=len(runs.unknown),
        compile_seconds=seconds,
    )


def times_of(measured: Measured, topology: Topology) -> Times:
    """Seconds of one call on the topology that it was measured on."""
    chip, work = topology.chip, measured.work
    estimates = {
        "the compiler's cycles": work.cycles / chip.clock + work.blind_bytes / chip.hbm_bandwidth,
        "flops / peak": work.flops / chip.peak_flops,
        "bytes / HBM bandwidth": work.hbm_bytes / chip.hbm_bandwidth,
    }
    by = max(estimates, key=lambda name: estimates[name])
    wire: dict[str, float] = dict.fromkeys((ICI, DCN), 0.0)
    for one in measured.collectives:
        wire[one.network] += one.times * one.seconds
    return Times(estimates[by], by, wire[ICI], wire[DCN])


def to_json(measured: Measured) -> dict[str, Any]:
    """As plain values."""
    return dataclasses.asdict(measured)


def from_json(values: dict[str, Any]) -> Measured:
    """The inverse of `to_json`."""
    work, collectives = Work(**values["work"]), tuple(Collective(**one) for one in values["collectives"])
    return Measured(**values | {"work": work, "collectives": collectives})


def _refused(program: Program, message: str, seconds: float) -> Measured:
    found = re.search(r"RESOURCE_EXHAUSTED: *([^\n]*)", message)
    why = " ".join((found[1] if found else message).split())
    nothing = Work(0, 0, 0, {}, 0)
    memory = shape_bytes(program)
    return Measured(program.name, program.users, program.calls, memory, False, why, nothing, (), 0, seconds)
