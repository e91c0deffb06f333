"""Runs an experiment in a workdir: trains the router for every seed, evaluates the checkpoints, writes the report."""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator

from prouter_jax import config as configuration
from prouter_jax.aot.speed import count_speed, read_facts, speed_facts, write_speed
from prouter_jax.config import ExperimentConfig, Mesh
from prouter_jax.data.interactions import KINDS
from prouter_jax.data.logs.tables import LOGGED
from prouter_jax.dataset import Dataset, Source, prepare_dataset, prepare_whole, read_source
from prouter_jax.evaluation.evaluate import SeedResult, evaluate_seed
from prouter_jax.evaluation.summary import explain_users, map_users, summarise
from prouter_jax.graph.world import load_world, save_world
from prouter_jax.io import files
from prouter_jax.io.display import log_line, provenance, waiting
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import make_path, read_text
from prouter_jax.io.replacement import settle
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import Report
from prouter_jax.report.write import write_report
from prouter_jax.serving.root_digest import CONFIG, WORLD, write_root
from prouter_jax.serving.router import Router, Trained, read_config, trained_seeds
from prouter_jax.sharding import make_mesh, to_host
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.loop import train
from prouter_jax.training.metrics_writer import require_tensorboard
from prouter_jax.training.multihost import ask_primary, barrier, is_primary
from prouter_jax.training.profiling import Pace
from prouter_jax.training.refit import read_chosen
from prouter_jax.training.run import CHECKPOINTS, REFIT, make_run, restore_best
from prouter_jax.training.user_states import load_user_states
from prouter_jax.training.validation import run_scorer

USER_BLIND = "user_blind"
REPORT = "report"
EXPERIMENT = "experiment.json"
_MOST_NAMED = 3  # fields of a configuration in a message


def run_experiment(config: ExperimentConfig, workdir: str | os.PathLike, traced: range | None = None) -> Report:
    """Trains every seed of `config`, evaluates it and writes WORKDIR/report, then trains on all decisions; one process.

    A run that was stopped resumes when it is called again with the same arguments.

    Args:
      config: the experiment.
      workdir: folder of the run, created if necessary.
      traced: as for `train_experiment`.

    Returns:
      The report on the test decisions.

    Raises:
      ValueError, Preempted: as `train_experiment`.

    Example:
      >>> from prouter_jax import ExperimentConfig, run_experiment
      >>> config = ExperimentConfig(name="tiny")
      >>> config.data.encoder, config.data.embedded.num_users, config.model.preset = "hash", 6, "em"
      >>> config.train.num_train_steps = config.train.eval_every_steps = 4
      >>> report = run_experiment(config, "runs/tiny")
      >>> 0 <= report.policies["router"].reward.mean <= 1
      True
    """
    begun, workdir = time.monotonic(), make_path(workdir)
    with _alone(workdir):
        source = _train_splits(config, workdir, traced)
        report = _evaluate_seeds(workdir, source, begun)
        _refit(config, workdir, source)
        _seal(config, workdir, source)
        return report


def train_experiment(config: ExperimentConfig, workdir: str | os.PathLike, traced: range | None = None) -> Source:
    """Trains every seed of `config`, on its split and then on all decisions.

    With several JAX processes, all call this and the primary one writes.

    Args:
      config: the experiment.
      workdir: folder of the run, created if necessary.
      traced: training steps whose profile is written to the folder of each seed.

    Returns:
      The data of the experiment.

    Raises:
      ValueError: on an invalid configuration, bad data, or a workdir of another experiment or of a running command.
      Preempted: on SIGTERM, after the state is saved.

    Example:
      >>> from prouter_jax import ExperimentConfig, Router, train_experiment
      >>> config = ExperimentConfig(name="tiny")
      >>> config.data.encoder, config.data.embedded.num_users, config.model.preset = "hash", 6, "em"
      >>> config.train.num_train_steps = config.train.eval_every_steps = 4
      >>> source = train_experiment(config, "runs/trained")
      >>> len(source.interactions.users.ids), Router.load("runs/trained").llms[0]
      (6, 'alder-1')
    """
    workdir = make_path(workdir)
    with _alone(workdir):
        source = _train_splits(config, workdir, traced)
        _refit(config, workdir, source)
        _seal(config, workdir, source)
        return source


def evaluate_experiment(workdir: str | os.PathLike, source: Source | None = None, begun: float | None = None) -> Report:
    """Restores the best checkpoints of an experiment, scores its test decisions and writes WORKDIR/report.

    Args:
      workdir: folder of a trained experiment.
      source: the data of the experiment; None to read it again.
      begun: `time.monotonic()` at the start of the experiment, for the run time in the report.

    Returns:
      The report on the test decisions.

    Raises:
      ValueError: if a file is missing or damaged, or the data differs from the training data.

    Example:
      >>> from prouter_jax import evaluate_experiment
      >>> report = evaluate_experiment("runs/embedded")
      >>> report.title
      'tiny experiment'
    """
    workdir = make_path(workdir)
    _read_experiment(workdir)  # before a folder is made for the lock
    with _alone(workdir):
        return _evaluate_seeds(workdir, source, begun)


def seed_folders(config: ExperimentConfig, workdir: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """Each seed and its folder: WORKDIR/seed_N, or WORKDIR itself for a single seed."""
    if not config.seeds:
        return [(config.seed, workdir)]
    return [(seed, workdir / f"seed_{seed}") for seed in range(config.seeds)]


def saved_steps(workdir: str | os.PathLike) -> list[tuple[pathlib.Path, int]]:
    """The folder of each router of a run that has a checkpoint, and the newest step there."""
    workdir = make_path(workdir)
    routers = [folder / part for folder in [workdir, *trained_seeds(workdir)] for part in ("", REFIT)]
    steps = [(folder, Checkpoints(folder / CHECKPOINTS).newest_step()) for folder in routers]
    return [(folder, step) for folder, step in steps if step is not None]


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """Locks a folder, for all processes of the run."""
    with contextlib.ExitStack() as held:
        ask_primary(lambda: _lock(folder, held))
        yield


def _lock(folder: pathlib.Path, held: contextlib.ExitStack) -> None:
    """Locks a folder, and ends what a killed `prouter forget` has begun there."""
    held.enter_context(lock_folder(folder))
    for one in (folder, *trained_seeds(folder)):
        settle(one)


def _train_splits(config: ExperimentConfig, workdir: pathlib.Path, traced: range | None) -> Source:
    """Trains every seed on its split; returns the data."""
    configuration.validate(config)
    _check_machine(config)
    _check_workdir(workdir, config)
    source = _read_source(config.data)
    for seed, folder in seed_folders(config, workdir):
        dataset = prepare_dataset(source, config.data, seed)
        _check_parts(dataset)
        _write_experiment(workdir, config)
        with contextlib.nullcontext() if folder == workdir else _alone(folder):
            seed_config = dataclasses.replace(config, seed=seed, seeds=0)
            _save_inputs(seed_config, dataset, folder)
            _report_speed(train(seed_config, dataset, folder, traced), folder)
    return source


def _refit(config: ExperimentConfig, workdir: pathlib.Path, source: Source) -> None:
    """Trains the router of every seed that is served, in its folder refit/: on all decisions, as its split chose."""
    if not config.train.refit:
        return
    whole = prepare_whole(source, config.data)
    for seed, folder in seed_folders(config, workdir):
        dataset = prepare_dataset(source, config.data, seed)
        # the folder is a workdir by itself
        seed_config = dataclasses.replace(
            config, seed=seed, seeds=0, train=dataclasses.replace(config.train, refit=False)
        )
        chosen = read_chosen(seed_config, dataset, folder)
        _save_inputs(seed_config, whole, folder / REFIT)
        train(seed_config, whole, folder / REFIT, chosen=chosen)


def _evaluate_seeds(workdir: pathlib.Path, source: Source | None, begun: float | None) -> Report:
    config = _read_experiment(workdir)
    source = source or _read_source(config.data)
    results, users = [], {}
    for seed, folder in seed_folders(config, workdir):
        dataset = prepare_dataset(source, config.data, seed)
        router = _restore(dataclasses.replace(config, seed=seed, seeds=0), dataset, folder)
        results.append(_evaluate(router, dataset))
        # explained users are those of the first seed: other seeds split, and may simulate, other users
        users = users or _explain(router, dataset, results[0])
    facts = _facts(config, source, results) | read_facts(seed_folders(config, workdir)[0][1])
    if begun is not None:
        facts["time"] = f"{time.monotonic() - begun:.0f} s from start to report"
    users |= _compare_on_log(config, source, seed_folders(config, workdir)[0][0], results[0])
    report = dataclasses.replace(summarise(results, config.name, facts), **users)
    with waiting("writing the report"):
        write_report(report, workdir / REPORT)
    return report


def _seal(config: ExperimentConfig, workdir: pathlib.Path, source: Source) -> None:
    """Ties the finished files of each seed together; until then no command loads the router."""
    for _, folder in seed_folders(config, workdir):
        ask_primary(lambda folder=folder: write_root(folder, source.encoder))


@waiting("reading the data")
def _read_source(config: configuration.Data) -> Source:
    return read_source(config)


def _check_machine(config: ExperimentConfig) -> None:
    """Raises ValueError unless the devices and packages that `config` needs are available."""
    make_mesh(config.mesh)
    if config.train.tensorboard:
        require_tensorboard()


def _check_parts(dataset: Dataset) -> None:
    parts = {field.name: len(getattr(dataset.parts, field.name)) for field in dataclasses.fields(dataset.parts)}
    if not all(parts.values()):
        found = ", ".join(f"{number} in {name}" for name, number in parts.items())
        raise ValueError(f"config.data: expected decisions in every part of the split, found {found}")


def _check_workdir(workdir: pathlib.Path, config: ExperimentConfig) -> None:
    """Raises ValueError if the workdir has another configuration."""
    path = workdir / EXPERIMENT
    if path.exists() and read_text(path) != configuration.to_json(config):
        changed = configuration.differences(read_text(path), config)
        more = [f"and {len(changed) - _MOST_NAMED} more"] if len(changed) > _MOST_NAMED else []
        found = "; ".join([*changed[:_MOST_NAMED], *more]) or "another text"
        raise ValueError(
            f"{workdir}: expected the configuration of its start ({path}), found {found}; name another --workdir"
        )


def _write_experiment(workdir: pathlib.Path, config: ExperimentConfig) -> None:
    """Writes the configuration into a new workdir, before any other file."""
    if is_primary() and not (workdir / EXPERIMENT).exists():
        workdir.mkdir(parents=True, exist_ok=True)
        files.write_whole(workdir / EXPERIMENT, configuration.to_json(config))


def _read_experiment(workdir: pathlib.Path) -> ExperimentConfig:
    try:
        text = read_text(workdir / EXPERIMENT)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{workdir}: expected an experiment with {EXPERIMENT}, found none") from error
    try:
        return configuration.from_json(text)
    except ValueError as error:
        raise ValueError(f"{workdir / EXPERIMENT}: expected an unchanged configuration, found: {error}") from error


def _save_inputs(config: ExperimentConfig, dataset: Dataset, folder: pathlib.Path) -> None:
    """Writes the files that scoring needs besides checkpoints, once; they are complete when config.json exists."""
    barrier("inputs")  # no process may look for the files while the primary one writes them
    if (folder / CONFIG).exists():
        _check_same_inputs(config, dataset, folder)
        return
    barrier("inputs looked for")
    if not is_primary():
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_world(dataset.world, folder / WORLD)
    files.write_whole(folder / CONFIG, configuration.to_json(config))


def _check_same_inputs(config: ExperimentConfig, dataset: Dataset, folder: pathlib.Path) -> None:
    if read_config(folder) != config:
        raise ValueError(f"{folder / CONFIG}: expected the configuration of this run's start, found it changed")
    if load_world(folder / WORLD).digest() != dataset.world.digest():
        raise ValueError(f"{folder}: the data differs from the training data of this run; name another --workdir")


def _report_speed(pace: Pace | None, folder: pathlib.Path) -> None:
    """Writes and logs the speed of a run that made training steps, in the primary process."""
    if pace is not None and is_primary():
        speed = count_speed(pace)
        write_speed(speed, folder)
        log_line("router: " + "; ".join(f"{name}: {value}" for name, value in speed_facts(speed).items()))


@waiting("restoring the router")
def _restore(config: ExperimentConfig, dataset: Dataset, folder: pathlib.Path) -> Router:
    """The router of one seed, from its best checkpoint and the data."""
    _check_same_inputs(config, dataset, folder)
    config = dataclasses.replace(config, mesh=Mesh())
    run = make_run(config, dataset)
    state = restore_best(config, run.network, folder)
    params = to_host(state.params)
    queries = len(dataset.world.interactions.queries.ids)
    trained = Trained(config.model, run.network, params, float(state.temperature), queries)
    scorer = run_scorer(run, params, dataset, load_user_states(folder, params))
    return Router(trained, dataset.world, scorer, dataset.world.interactions, scorer.users)


@waiting("fitting the baselines and scoring the test decisions")
def _evaluate(router: Router, dataset: Dataset) -> SeedResult:
    """Evaluates the router, the router with all users as cold-start users, and the baselines on the test decisions."""
    decisions, scorer = dataset.labelled("test").decisions, router.scorer
    scores = {name: score_decisions(scorer, dataset, decisions, name != "router") for name in ("router", USER_BLIND)}
    return evaluate_seed(dataset, scores)


@waiting("comparing policies on the log")
def _compare_on_log(config: ExperimentConfig, source: Source, seed: int, result: SeedResult) -> dict:
    """The field of a report on a log; none for other data."""
    if config.data.source != "tables" or not (make_path(config.data.path) / LOGGED).is_file():
        return {}
    from prouter_jax.evaluation.off_policy.log_report import compare_on_log

    data = prepare_dataset(source, config.data, seed).data
    return {"log": compare_on_log(config.data.path, data, result)}


@waiting("explaining choices of a few users")
def _explain(router: Router, dataset: Dataset, result: SeedResult) -> dict:
    """The fields of a report on single users."""
    return {"explanations": explain_users(router, dataset, result), "user_map": map_users(router)}


def _facts(config: ExperimentConfig, source: Source, results: collections.abc.Sequence[SeedResult]) -> dict[str, str]:
    data = source.interactions
    users = config.data.num_users if config.data.users != "recorded" else len(data.users.ids)
    seeds = ", ".join(str(seed) for seed, _ in seed_folders(config, pathlib.Path()))
    recorded = [kind for place, kind in enumerate(KINDS) if (data.feedback.kind == place).any()]
    feedback = " and ".join(recorded) if config.data.users == "recorded" else config.data.feedback
    where = f" ({make_path(config.data.path).name})" if config.data.path else ""
    served = "trained on all decisions after this report" if config.train.refit else "that of this report"
    return {
        "data": f"{config.data.source}{where}",
        "queries": f"{len(data.queries.ids)} in {len(data.tasks.ids)} tasks",
        "LLMs": str(len(data.llms.ids)),
        "users": f"{users} {config.data.users.replace('_', '-')}, feedback: {feedback or 'none'}",
        "split": f"{config.data.split.replace('_', ' ')}, seeds {seeds}",
        "text encoder": source.encoder,
        "served router": served,
    } | provenance()
