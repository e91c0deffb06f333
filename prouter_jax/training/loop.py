"""The only training loop."""

import dataclasses
import functools
import math
import pathlib
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp

from prouter_jax.config import ExperimentConfig
from prouter_jax.data.batches import Input
from prouter_jax.dataset import Dataset
from prouter_jax.io.display import log_line, waiting
from prouter_jax.sharding import place, to_host
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.metrics_writer import Progress, to_record
from prouter_jax.training.multihost import Preempted, Preemption, is_primary
from prouter_jax.training.profiling import Pace, Steps
from prouter_jax.training.refit import Chosen
from prouter_jax.training.run import CHECKPOINTS, Run, compiled_tuning_step, initial_state, make_run, make_train_step
from prouter_jax.training.state import TrainState
from prouter_jax.training.tuning import (
    EpisodeInput,
    find_obstacle,
    make_episodes,
    make_tuning_world,
    read_known_users,
)
from prouter_jax.training.user_states import save_user_states
from prouter_jax.training.validation import evaluate_state, judge_state, run_scorer


def train(
    config: ExperimentConfig,
    dataset: Dataset,
    workdir: pathlib.Path,
    traced: range | None = None,
    chosen: Chosen | None = None,
) -> Pace | None:
    """Trains until the validation reward stops rising or the steps are done; resumes what is in `workdir`.

    Preset "tuned" then takes gradient steps from the best state of EM. The seed is `config.seed`.

    Args:
      traced: steps of which WORKDIR/profile gets a trace.
      chosen: what an earlier training chose on validation; then there is no validation, and no gradient step after EM.

    Returns:
      what its steps were like; None if nothing was left to do.

    Raises:
      ValueError: if there are checkpoints and none is sound, or if the loss is not a number.
      Preempted: after a SIGTERM, when the state is saved.
    """
    run = make_run(config, dataset)
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    state, restored, rejected = _start(run, checkpoints, config.seed, chosen)
    obstacle = find_obstacle(config, dataset) if config.model.preset == "tuned" and chosen is None else ""
    if obstacle and is_primary():
        log_line(f"router: EM alone, no gradient steps: {obstacle}")
    tuned = run.network.transfer is not None and chosen is None and not obstacle
    with (
        Progress(workdir, config.train, "router" if chosen is None else "router on all decisions") as progress,
        Preemption() as preemption,
        Steps(workdir, traced) as steps,
    ):
        progress.resume(restored, rejected, checkpoints.changes_since(restored) if restored >= 0 else [])
        loop = _Loop(workdir, checkpoints, progress, preemption, steps, restored)
        phase = _main_phase(run, config, dataset, workdir)
        if chosen is not None:
            phase = _refit_phase(phase, run, dataset, workdir, chosen)
        state, arguments = loop.run(phase, state)
        seconds = steps.seconds
        if tuned:
            loop.run(*_tuning_phase(run, config, dataset, workdir, state, checkpoints))
    if arguments is None:
        return None
    # the same shapes as those of the loop, so that this finds what was compiled for it
    return _pace(run, phase.step.lower(*arguments).compile().as_text(), seconds)


@dataclasses.dataclass(frozen=True)
class _Phase:
    """Steps of one kind.

    Attributes:
      step: compiled function (state, world, batch, key) -> (state, metrics).
      batches: function from the number of the first step to an iterator over batches.
      end: number of the last step.
      due: function from the number of a step to whether the state is evaluated before it.
      evaluate: function from the state to the state, what was measured, and the rank of its checkpoint.
      patience: evaluations without a better one before the phase ends.
    """

    step: typing.Any
    world: typing.Any
    batches: Callable[[int], Input | EpisodeInput]
    key: jax.Array
    end: int
    due: Callable[[int], bool]
    evaluate: Callable[[TrainState], tuple[TrainState, dict[str, float], float]]
    patience: float


@dataclasses.dataclass
class _Loop:
    """What the loop needs beside a phase; `restored` is the step that was restored or saved last."""

    workdir: pathlib.Path
    checkpoints: Checkpoints
    progress: Progress
    preemption: Preemption
    steps: Steps
    restored: int

    def run(self, phase: _Phase, state: TrainState) -> tuple[TrainState, tuple | None]:
        """Takes the steps of a phase; returns the state, and the arguments of the last step, None if there was none."""
        # counted here as well: to ask the state for its step would wait for the device
        step, stale = int(state.step), int(state.stale)
        metrics: dict[str, jax.Array] = {}
        batch: dict[str, jax.Array] = {}
        batches = phase.batches(step)
        self.progress.begin(step, phase.end)
        self.steps.begin()
        while True:
            if (step == phase.end or phase.due(step)) and step > max(self.restored, 0):
                self.steps.wait()
                state, measured, rank = phase.evaluate(state)
                stale = int(state.stale)
                self.progress.evaluated(state, _checked(metrics, step) | measured | batches.waiting())
                self.checkpoints.save(step, state, rank)
                self.restored = step
            if step >= phase.end or stale >= phase.patience:
                break
            if self.preemption.reached(step):
                if step > self.restored:
                    self.checkpoints.save(step, state)
                raise Preempted(f"{self.workdir}: stopped by SIGTERM, step {step} is saved; the same command goes on")
            with self.steps.one(step):
                batch = next(batches)
                state, metrics = phase.step(state, phase.world, batch, phase.key)
            step += 1
            self.steps.done(step, metrics)
            self.progress.stepped(step)
        return state, (state, phase.world, batch, phase.key) if metrics else None


def _main_phase(run: Run, config: ExperimentConfig, dataset: Dataset, workdir: pathlib.Path) -> _Phase:
    """Rounds of EM, or gradient steps of the layers."""
    train = config.train
    validation = functools.cache(lambda: dataset.labelled("validation"))

    def evaluate(state: TrainState):
        state, fit = evaluate_state(state, run, dataset, validation(), workdir)
        return state, to_record(fit), float(state.validation_reward)

    return _Phase(
        step=make_train_step(run),
        world=run.world,
        batches=lambda step: Input(run.batches, run.mesh, step, train.num_train_steps),
        key=jax.random.key(config.seed),
        end=train.num_train_steps,
        due=lambda step: step % train.eval_every_steps == 0,
        evaluate=evaluate,
        patience=train.patience,
    )


def _refit_phase(phase: _Phase, run: Run, dataset: Dataset, workdir: pathlib.Path, chosen: Chosen) -> _Phase:
    """The main phase with the number of steps that was chosen; its last state alone is a router."""

    def evaluate(state: TrainState):
        if int(state.step) < chosen.steps:
            return state, {}, -math.inf
        state = chosen.end(_with_known_users(state, run, dataset))
        params = to_host(state.params)
        if is_primary():
            save_user_states(workdir, params, run_scorer(run, params, dataset).users)
        return state, {}, 0.0

    step = make_train_step(run, folds=False)
    return dataclasses.replace(phase, step=step, end=chosen.steps, evaluate=evaluate, patience=math.inf)


@waiting("router: preparing gradient steps")
def _tuning_phase(
    run: Run,
    config: ExperimentConfig,
    dataset: Dataset,
    workdir: pathlib.Path,
    state: TrainState,
    checkpoints: Checkpoints,
) -> tuple[_Phase, TrainState]:
    """Gradient steps on top of EM, and the state before the first of them: that with EM's best parameters."""
    first = config.train.num_train_steps
    if int(state.step) <= first:
        best = checkpoints.restore_best(run.abstract)[0]
        state = dataclasses.replace(state, params=best.params, step=jnp.full_like(state.step, first))
        state = _with_known_users(state, run, dataset)
    episodes = make_episodes(config, dataset)
    world = make_tuning_world(run.network, to_host(state.params), to_host(state.opt_state.folds), run.here, dataset)
    placed = world if run.mesh.size == 1 else place(world, run.mesh)

    def evaluate(state: TrainState):
        return judge_state(state, run, dataset, workdir, world, episodes)

    return _Phase(
        step=compiled_tuning_step(run.network, run.recipe, run.mesh),
        world=placed,
        batches=lambda step: EpisodeInput(episodes, step - first),
        key=jax.random.key(config.seed),
        end=first + config.train.tuning_steps,
        due=lambda _: False,
        evaluate=evaluate,
        patience=math.inf,
    ), state


def _with_known_users(state: TrainState, run: Run, dataset: Dataset) -> TrainState:
    """The state with the weights of known users, which EM in minibatches does not keep."""
    if run.batches is None or run.batches.left_out is None:
        return state
    known = read_known_users(run.network, to_host(state.params), run.here, dataset.world, run.batches.left_out)
    return dataclasses.replace(state, params={**state.params, **place(known, run.mesh)})


@waiting("router: compiling")
def _start(run: Run, checkpoints: Checkpoints, seed: int, chosen: Chosen | None) -> tuple[TrainState, int, list[str]]:
    """The newest sound state, its step and what was rejected; a fresh one is of step -1."""
    checkpoints.complete()
    found = checkpoints.restore_newest(run.abstract)
    if found is not None:
        return found
    state = initial_state(run, seed)
    return state if chosen is None else chosen.begin(state, run.network), -1, []


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
