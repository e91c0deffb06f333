"""The only training loop."""

import dataclasses
import functools
import math
import pathlib
import typing
from collections.abc import Callable

import jax
import numpy as np

from prouter_jax.config import ExperimentConfig, Mesh, Model
from prouter_jax.data.batches import Batches, Input
from prouter_jax.data.history_store import build_store
from prouter_jax.data.rewards import choice_shares
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.io.display import waiting
from prouter_jax.metrics import Fit, choose, fit_temperature, mean, measure_fit, values_of_selected
from prouter_jax.model.answer_features import Observed
from prouter_jax.model.inference import Scorer, make_scorer, score_decisions
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import make_mesh, place, placed_shapes, replicated, to_host
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.metrics_writer import Progress, to_record
from prouter_jax.training.multihost import Preempted, Preemption, broadcast, is_primary
from prouter_jax.training.profiling import Pace, Steps
from prouter_jax.training.state import TrainState, init_state
from prouter_jax.training.step import Recipe, make_recipe, make_step, read_world
from prouter_jax.training.user_states import save_user_states

CHECKPOINTS = "checkpoints"


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


def train(
    config: ExperimentConfig, dataset: Dataset, workdir: pathlib.Path, traced: range | None = None
) -> Pace | None:
    """Trains until the validation reward stops rising or the steps are done; resumes what is in `workdir`.

    The seed is `config.seed`.

    Args:
      traced: steps of which WORKDIR/profile gets a trace.

    Returns:
      what its steps were like; None if nothing was left to do.

    Raises:
      ValueError: if there are checkpoints and none is sound, or if the loss is not a number.
      Preempted: after a SIGTERM, when the state is saved.
    """
    run = make_run(config, dataset)
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    state, restored, rejected = _start(run, checkpoints, config.seed)
    step_fn = make_train_step(run)
    validation = dataset.labelled("validation")
    key = jax.random.key(config.seed)
    with (
        Progress(workdir, config.train, "router") as progress,
        Preemption() as preemption,
        Steps(workdir, traced) as steps,
    ):
        progress.resume(restored, rejected)
        metrics: dict[str, jax.Array] = {}
        batch: dict[str, jax.Array] = {}
        # counted here as well: to ask the state for its step would wait for the device
        step, stale = int(state.step), int(state.stale)
        batches = Input(run.batches, run.mesh, step, config.train.num_train_steps)
        while True:
            due = step % config.train.eval_every_steps == 0 or step == config.train.num_train_steps
            if due and step > max(restored, 0):
                steps.wait()
                state, fit = _evaluate(state, run, dataset, validation, workdir)
                stale = int(state.stale)
                progress.evaluated(state, _checked(metrics, step) | to_record(fit) | batches.waiting())
                checkpoints.save(step, state, float(state.validation_reward))
                restored = step
            if step == config.train.num_train_steps or stale >= config.train.patience:
                break
            if preemption.reached(step):
                if step > restored:
                    checkpoints.save(step, state)
                raise Preempted(f"{workdir}: stopped by SIGTERM, step {step} is saved; the same command goes on")
            with steps.one(step):
                batch = next(batches)
                state, metrics = step_fn(state, run.world, batch, key)
            step += 1
            steps.done(step, metrics)
            progress.stepped(step)
    if not metrics:
        return None
    # the same arguments as those of the loop, so that this finds what was compiled for it
    text = step_fn.lower(state, run.world, batch, key).compile().as_text()
    return _pace(run, text, steps.seconds)


def make_run(config: ExperimentConfig, dataset: Dataset) -> Run:
    """Builds the graph and the network of a run and places them on the configured mesh."""
    mesh = make_mesh(config.mesh)
    graph = dataset.world.build_graph(shards=config.mesh.data)
    network = make_network(config, graph, len(dataset.world.interactions.users.ids))
    batches = _make_batches(config, dataset)
    recipe = make_recipe(config, batches.steps if batches else 0)
    init, abstract = compiled_init(network, recipe, mesh)
    world = place(read_world(network, recipe, graph), mesh)
    # several devices read users faster; a single one runs what was compiled for `Router.load`
    spread = isinstance(world, RouterGraph) and jax.process_count() == 1 and mesh.size > 1
    here = world if spread else graph
    return Run(config.model, network, mesh, world, here, batches, recipe, init, abstract)


def restore_best(config: ExperimentConfig, network: Architecture, workdir: pathlib.Path) -> TrainState:
    """The state with the highest validation reward, placed as a run on one device has it.

    Raises:
      ValueError: if it is missing, damaged, or not of this network.
    """
    _, abstract = compiled_init(network, make_recipe(config), make_mesh(Mesh()))
    return Checkpoints(workdir / CHECKPOINTS).restore_best(abstract)[0]


def make_train_step(run: Run):
    """A compiled function (state, world, batch, key) -> (state, metrics); runs of equal shape share its compilation."""
    return compiled_step(run.network, run.recipe, run.mesh)


def initial_state(run: Run, seed: int) -> TrainState:
    """A fresh state, placed on the mesh."""
    return run.init(jax.random.fold_in(jax.random.key(seed), 2**31 - 1))


def run_scorer(run: Run, params: dict, dataset: Dataset, users: np.ndarray | None = None) -> Scorer:
    """The network with `params`, applied to what it is trained on; `users` as of `inference.make_scorer`."""
    return make_scorer(run.network, params, dataset.world, run.here, run.model, users=users)


class Validation(typing.NamedTuple):
    """What the scores of some decisions are worth.

    Attributes:
      reward: mean of the chosen LLMs.
      temperature: makes the logits of choices probabilities.
      fit: how well these fit.
      users: states that were scored with, [users, properties].
    """

    reward: float
    temperature: float
    fit: Fit
    users: np.ndarray


def validate(run: Run, params: dict, dataset: Dataset, labelled: Labelled) -> Validation:
    """What the scores of some decisions are worth.

    The mean is over picks whose reward is known: of a log, those that were served (replay, Li et al. 2011). Without any
    choice the temperature is 1.
    """
    decisions = labelled.decisions
    scorer = run_scorer(run, params, dataset)
    logits = score_decisions(scorer, dataset, decisions)
    reward = mean(values_of_selected(labelled.rewards, choose(logits, decisions.offered)))
    shares = choice_shares(decisions)
    temperature = fit_temperature(logits, decisions.offered, shares) if shares.any() else 1.0
    fit = measure_fit(temperature * logits, decisions.offered, shares, decisions.user, decisions.query)
    return Validation(reward, temperature, fit, scorer.users)


@functools.lru_cache(maxsize=16)
def compiled_init(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh):
    """`Run.init` and `Run.abstract`."""
    init = functools.partial(init_state, network=network, recipe=recipe)
    abstract = placed_shapes(jax.eval_shape(lambda: init(jax.random.key(0))), mesh)
    places = jax.tree.map(lambda x: x.sharding, abstract)
    # it runs once: on a CPU LLVM takes 3 s to make random numbers fast, and 0.4 s to make the same ones
    options = {"xla_backend_optimization_level": 1} if mesh.devices.flat[0].platform == "cpu" else None
    return jax.jit(init, out_shardings=places, compiler_options=options), abstract


@functools.lru_cache(maxsize=16)
def compiled_step(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh):
    """What `make_train_step` returns."""
    inner = make_step(network, recipe, mesh)
    places = jax.tree.map(lambda x: x.sharding, compiled_init(network, recipe, mesh)[1])

    def step(state: TrainState, world: RouterGraph | Observed, batch: dict[str, jax.Array], key: jax.Array):
        params, opt_state, metrics = inner(state.params, state.opt_state, world, batch, state.step, key)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)
        return state, metrics

    return jax.jit(step, donate_argnums=0, out_shardings=(places, replicated(mesh)))


def _make_batches(config: ExperimentConfig, dataset: Dataset) -> Batches | None:
    train = config.train
    if not train.users_per_step:
        return None
    store, rows = dataset.store, dataset.world_query
    if store is None:
        store = build_store(dataset.world.interactions)
        rows = np.arange(len(dataset.world.interactions.queries.ids))
    return Batches(store, rows, train.users_per_step, train.history_length, config.seed)


@waiting("router: compiling")
def _start(run: Run, checkpoints: Checkpoints, seed: int) -> tuple[TrainState, int, list[str]]:
    """The newest sound state, its step and what was rejected; a fresh one is of step -1."""
    found = checkpoints.restore_newest(run.abstract)
    if found is not None:
        return found
    return initial_state(run, seed), -1, []


@waiting("router: validating")
def _evaluate(
    state: TrainState, run: Run, dataset: Dataset, validation: Labelled, workdir: pathlib.Path
) -> tuple[TrainState, Fit]:
    """The state with what early stopping must remember; all processes measure it, the first one's word counts.

    States of users are kept where this is the best state so far.
    """
    params = to_host(state.params)
    found = validate(run, params, dataset, validation)
    reward, temperature = (float(x) for x in broadcast(found[:2]))
    better = reward > float(state.best_reward)
    # of equal rewards, the first checkpoint is the best one, and rewards are kept as float32
    if np.float32(reward) > float(state.best_reward) and is_primary():
        save_user_states(workdir, params, found.users)
    numbers = {
        "validation_reward": np.float32(reward),
        "best_reward": np.float32(reward if better else state.best_reward),
        "stale": np.int32(0 if better else int(state.stale) + 1),
        "temperature": np.float32(temperature),
    }
    placed = {name: jax.device_put(value, state.best_reward.sharding) for name, value in numbers.items()}
    return dataclasses.replace(state, **placed), found.fit


def _pace(run: Run, text: str | None, seconds: float | None) -> Pace:
    params, optimizer = (jax.tree.leaves(part) for part in (run.abstract.params, run.abstract.opt_state))
    devices = run.mesh.local_devices
    return Pace(
        sum(leaf.size for leaf in params),
        sum(leaf.size * leaf.dtype.itemsize for leaf in params),
        sum(leaf.size * leaf.dtype.itemsize for leaf in optimizer),
        text,
        seconds,
        len(devices),
    )


def _checked(metrics: dict[str, jax.Array], step: int) -> dict[str, float]:
    numbers = {name: float(value) for name, value in metrics.items()}
    if not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError(
            f"step {step}: expected a finite loss, found {numbers}; a lower config.optimizer.learning_rate may help"
        )
    return numbers
