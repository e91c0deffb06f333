"""`Run`: what a run needs besides its state, placed on the mesh, and its compiled programs."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax

from prouter_jax.compilation import OPTIONS, jit_program
from prouter_jax.config import ExperimentConfig, Mesh, Model
from prouter_jax.data.batches import Batches
from prouter_jax.data.episodes import users_left_out
from prouter_jax.dataset import Dataset
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import Observed
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import make_mesh, place, placed_shapes, replicated
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.state import TrainState, init_state
from prouter_jax.training.step import Recipe, make_recipe, make_step, read_world
from prouter_jax.training.tuning import TuningWorld, find_obstacle, make_tuning_step

CHECKPOINTS = "checkpoints"
REFIT = "refit"


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run needs besides its state.

    Attributes:
      model: of the configuration.
      world: what steps read of it, see `training.step.read_world`, placed on the mesh.
      here: its graph, whole on this process's devices, to score with.
      batches: what steps read in place of the graph's users; None where they read the whole graph.
      init: compiled function from a random key to a fresh state.
      abstract: shapes and shardings of the state.
    """

    model: Model
    network: Architecture
    mesh: jax.sharding.Mesh
    world: RouterGraph | Observed
    here: RouterGraph
    batches: Batches | None
    recipe: Recipe
    init: Callable[[jax.Array], TrainState]
    abstract: TrainState


def make_run(config: ExperimentConfig, dataset: Dataset) -> Run:
    """Builds the graph and the network of a run and places them on the configured mesh."""
    mesh = make_mesh(config.mesh)
    graph = dataset.world.build_graph(shards=config.mesh.data)
    network = make_network(config, graph, len(dataset.world.interactions.users.ids))
    batches = make_batches(config, dataset, network)
    recipe = make_recipe(config, batches.steps if batches else 0)
    init, abstract = compiled_init(network, recipe, mesh)
    world = place(read_world(network, recipe, graph), mesh)
    # several devices read users faster; a single one runs what was compiled for `Router.load`
    spread = isinstance(world, RouterGraph) and jax.process_count() == 1 and mesh.size > 1
    here = world if spread else graph
    return Run(config.model, network, mesh, world, here, batches, recipe, init, abstract)


def restore_best(
    config: ExperimentConfig,
    network: Architecture,
    workdir: pathlib.Path,
    mesh: Mesh = Mesh(),  # noqa: B008
) -> TrainState:
    """The state with the highest validation reward, placed as a run on `mesh` has it, on one device by default.

    Raises:
      ValueError: if it is missing, damaged, or not of this network.
    """
    _, abstract = compiled_init(network, make_recipe(config), make_mesh(mesh))
    return Checkpoints(workdir / CHECKPOINTS).restore_best(abstract)[0]


def make_train_step(run: Run, folds: bool = True):
    """A compiled function (state, world, batch, key) -> (state, metrics); runs of equal shape share its compilation.

    Args:
      folds: as of `training.step.make_step`.
    """
    return compiled_step(run.network, run.recipe, run.mesh, folds)


def initial_state(run: Run, seed: int) -> TrainState:
    """A fresh state, placed on the mesh."""
    return run.init(jax.random.fold_in(jax.random.key(seed), 2**31 - 1))


def make_batches(config: ExperimentConfig, dataset: Dataset, network: Architecture) -> Batches | None:
    """Makes the minibatches of a run; None where steps read the whole graph."""
    train = config.train
    if not train.users_per_step:
        return None
    store, rows = dataset.histories
    tuned = network.transfer is not None and not find_obstacle(config, dataset)
    left_out = users_left_out(store.num_users) if tuned else None
    return Batches(store, rows, train.users_per_step, train.history_length, config.seed, left_out)


@functools.lru_cache(maxsize=16)
def compiled_init(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh):
    """`Run.init` and `Run.abstract`."""
    init = functools.partial(init_state, network=network, recipe=recipe)
    abstract = placed_shapes(jax.eval_shape(lambda: init(jax.random.key(0))), mesh)
    places = jax.tree.map(lambda x: x.sharding, abstract)
    # it runs once: on a CPU LLVM takes 3 s to make random numbers fast, and 0.4 s to make the same ones
    quickly = {"xla_backend_optimization_level": 1} if mesh.devices.flat[0].platform == "cpu" else {}
    return jax.jit(init, out_shardings=places, compiler_options=_options(network) | quickly), abstract


@functools.lru_cache(maxsize=16)
def compiled_step(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh, folds: bool = True):
    """What `make_train_step` returns."""
    inner = make_step(network, recipe, mesh, folds)
    places = jax.tree.map(lambda x: x.sharding, compiled_init(network, recipe, mesh)[1])

    def step(state: TrainState, world: RouterGraph | Observed, batch: dict[str, jax.Array], key: jax.Array):
        params, opt_state, metrics = inner(state.params, state.opt_state, world, batch, state.step, key)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)
        return state, metrics

    options = _options(network)
    return jax.jit(step, donate_argnums=0, out_shardings=(places, replicated(mesh)), compiler_options=options)


@functools.lru_cache(maxsize=16)
def compiled_tuning_step(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh):
    """A compiled function (state, world, episode, key) -> (state, metrics), see `tuning.make_tuning_step`."""
    inner = make_tuning_step(network, recipe.tuning_steps)
    places = jax.tree.map(lambda x: x.sharding, compiled_init(network, recipe, mesh)[1])

    def step(state: TrainState, world: TuningWorld, episode: dict, key: jax.Array):
        del key
        params, opt_state, metrics = inner(state.params, state.opt_state, world, episode)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)
        return state, metrics

    return jit_program(step, donate_argnums=0, out_shardings=(places, replicated(mesh)))


def _options(network: Architecture) -> dict[str, bool]:
    """The older emitters take longer with the gradients of message passing, and these steps are slower."""
    return OPTIONS if network.layers is None else {}
