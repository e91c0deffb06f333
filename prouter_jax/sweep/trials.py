"""The trials of a sweep on disk: their records, and the validation rewards of their runs.

WORKDIR/sweep.json        experiment, space, search and seed; another sweep needs another folder
WORKDIR/trials/007/       workdir of a trial's run, with its record trial.json (under a SHA-256)
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig
from prouter_jax.experiment import EXPERIMENT, seed_folders
from prouter_jax.io import files
from prouter_jax.io.locks import Busy, lock
from prouter_jax.io.paths import list_folder, make_path, read_text
from prouter_jax.search import Space
from prouter_jax.sweep.space import Value, to_json
from prouter_jax.training.checkpoint import BEST
from prouter_jax.training.metrics_writer import METRICS
from prouter_jax.training.run import CHECKPOINTS

BEGUN, DONE, PRUNED, FAILED = "begun", "done", "pruned", "failed"
_SWEEP, _TRIALS, _TRIAL, _LOCK = "sweep.json", "trials", "trial.json", "sweep.lock"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration of a sweep.

    Attributes:
      values: by path of the field.
      state: BEGUN, DONE, PRUNED (stopped because others did better) or FAILED (for good).
      failures: number of starts that failed.
      reason: of the last failure.
      rewards: validation reward of each seed's best checkpoint, of a trial that is done.
      seconds: wall time of the last start.
    """

    number: int
    values: Mapping[str, Value]
    state: str = BEGUN
    failures: int = 0
    reason: str = ""
    rewards: Sequence[float] = ()
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """Three digits, more if there are more."""
        return f"{self.number:03d}"

    @property
    def fields(self) -> dict[str, Value]:
        """What its run overrides, by path: no trial is served, so none is trained on all decisions."""
        return {"train.refit": False, **self.values}

    @property
    def ended(self) -> bool:
        return self.state != BEGUN

    @property
    def reward(self) -> float | None:
        """Mean of the seeds' validation rewards; None if the trial is not done."""
        return statistics.fmean(self.rewards) if self.state == DONE else None


@dataclasses.dataclass(frozen=True)
class SweepSpec:
    """The identity of a sweep, stored in its folder. The number of trials is not part of it and may grow.

    Attributes:
      config: base configuration; each trial overrides the swept fields.
      search: grid, random or optuna.
    """

    config: ExperimentConfig
    space: Space
    search: str
    seed: int

    def to_json(self) -> str:
        spec = {"search": self.search, "seed": self.seed, "space": to_json(self.space)}
        return json.dumps(spec | {"config": json.loads(configuration.to_json(self.config))}, indent=2)


class TrialStore:
    """The records of trials in the workdir of a sweep."""

    def __init__(self, workdir: str | os.PathLike):
        self.workdir = make_path(workdir)

    @contextlib.contextmanager
    def locked(self, spec: SweepSpec) -> Iterator[None]:
        """Binds the folder to this sweep, and locks it for this process within the context.

        Raises:
          ValueError: if the folder belongs to another sweep, or another process holds the lock.
        """
        self.check(spec)
        try:
            with lock(self.workdir / _LOCK):
                files.write_whole(self.workdir / _SWEEP, spec.to_json())
                yield
        except Busy:
            raise ValueError(f"{self.workdir}: expected a sweep that is not running, found one that runs") from None

    def check(self, spec: SweepSpec) -> None:
        """Raises a ValueError if the folder belongs to another sweep."""
        path = self.workdir / _SWEEP
        if path.exists() and read_text(path) != spec.to_json():
            raise ValueError(f"{self.workdir}: expected the sweep it was begun with ({path}); name another --workdir")

    def folder(self, trial: Trial) -> pathlib.Path:
        """The workdir of a trial's run."""
        return self.workdir / _TRIALS / trial.name

    def read(self, total: int) -> dict[int, Trial]:
        """Those of the first `total` trials that were begun, by number.

        Raises:
          ValueError: naming the file, if a record is damaged.
        """
        paths = sorted(folder / _TRIAL for folder in list_folder(self.workdir / _TRIALS))
        trials = (_read(path) for path in paths if path.exists())
        return {trial.number: trial for trial in sorted(trials, key=lambda one: one.number) if trial.number < total}

    def write(self, trial: Trial) -> None:
        """Writes the record of a trial, whole or not at all."""
        folder = self.folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_sealed(folder / _TRIAL, dataclasses.asdict(trial))


def validation_rewards(config: ExperimentConfig, folder: pathlib.Path) -> list[float]:
    """The validation reward of each seed's best checkpoint of a finished run; no test result is read.

    Raises:
      ValueError: if the run has another configuration, or a seed has no reward.
    """
    path = folder / EXPERIMENT
    if not path.exists() or read_text(path) != configuration.to_json(config):
        found = "another" if path.exists() else "none"
        raise ValueError(f"{path}: expected the configuration of the trial, found {found}")
    return [_best_reward(place / CHECKPOINTS) for _, place in seed_folders(config, folder)]


def intermediate_rewards(config: ExperimentConfig, folder: pathlib.Path) -> list[tuple[int, float]]:
    """(step, validation reward) of a run under way; the steps of its seeds follow one another.

    The reward is the mean over the seeds so far of their best validation rewards. Trials are compared at the same
    step, hence over the same seeds.
    """
    reports: list[tuple[int, float]] = []
    finished: list[float] = []
    for place, (_, seed_folder) in enumerate(seed_folders(config, folder)):
        records = _read_metrics(seed_folder / METRICS)
        if not records:
            break
        for step, best in records:
            reports.append((place * config.train.num_train_steps + step, statistics.fmean([*finished, best])))
        finished.append(records[-1][1])
    return reports


def _read(path: pathlib.Path) -> Trial:
    try:
        return Trial(**files.read_sealed(path))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; delete this folder to do the trial again") from None


def _best_reward(checkpoints: pathlib.Path) -> float:
    try:
        return float(files.read_sealed(checkpoints / BEST)["metric"])
    except ValueError as error:
        raise ValueError(f"{checkpoints}/{error}") from None


def _read_metrics(path: pathlib.Path) -> list[tuple[int, float]]:
    """(step, best validation reward so far) of each complete line; the last line may be half written."""
    if not path.exists():
        return []
    lines = (line for line in read_text(path).splitlines(keepends=True) if line.endswith("\n"))
    records = map(json.loads, lines)
    return [(int(one["step"]), float(one["best_validation_reward"])) for one in records]
