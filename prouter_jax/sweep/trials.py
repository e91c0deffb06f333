"""The trials of a sweep in files: each has a folder, and in it trial.json, sealed, that says how far it is.

WORKDIR/sweep.json        what was asked for; another sweep needs another folder
WORKDIR/trials/007/       the workdir of its run, with trial.json
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol.runner import Busy, claim
from prouter_jax.io import files
from prouter_jax.io.paths import inside, local_path, make_path
from prouter_jax.sweep.fields import Value
from prouter_jax.sweep.space import Dimension

BEGUN, DONE, PRUNED, FAILED = "begun", "done", "pruned", "failed"
_SWEEP, _TRIALS, _TRIAL, _CLAIM = "sweep.json", "trials", "trial.json", "sweep.claim"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration of a sweep.

    Attributes:
      values: by path of the field.
      state: BEGUN, DONE, PRUNED (stopped because others did better) or FAILED (for good).
      failures: how often it has failed.
      reason: why it failed last.
      rewards: the best validation reward of each seed of a trial that is done.
      seconds: of the start that ended it.
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
    def ended(self) -> bool:
        return self.state != BEGUN


class TrialFolders:
    """The trials in the workdir of a sweep.

    Args:
      here: a folder of this machine, for the claim of a sweep whose workdir is in a bucket.
    """

    def __init__(self, workdir: str | os.PathLike, here: pathlib.Path | None = None):
        self.workdir = make_path(workdir)
        self._here = here or self.workdir

    @contextlib.contextmanager
    def claim(self, config: ExperimentConfig, space: Sequence[Dimension], search: str, seed: int) -> Iterator[None]:
        """Makes the folder one of this sweep, and of this process for as long as the context lasts.

        In a bucket nothing ends with a process: there, only those who share `here` are kept from it.

        Raises:
          ValueError: if it is one of another sweep, or another process is at it.
        """
        self.check(config, space, search, seed)
        try:
            with claim(local_path(self._here, "the claim of a sweep") / _CLAIM):
                files.write_whole(self.workdir / _SWEEP, _claim_text(config, space, search, seed))
                yield
        except Busy:
            raise ValueError(f"{self.workdir}: expected a sweep that nobody is at, found one that is running") from None

    def check(self, config: ExperimentConfig, space: Sequence[Dimension], search: str, seed: int) -> None:
        """Raises a ValueError if the folder is one of another sweep."""
        path = self.workdir / _SWEEP
        if path.exists() and path.read_text() != _claim_text(config, space, search, seed):
            raise ValueError(f"{self.workdir}: expected the sweep it was begun with ({path}); name another --workdir")

    def folder(self, trial: Trial) -> pathlib.Path:
        """The workdir of a trial's run."""
        return self.workdir / _TRIALS / trial.name

    def read(self, total: int) -> dict[int, Trial]:
        """Those of the first `total` trials that were begun, by number.

        Raises:
          ValueError: naming the file, if one is damaged.
        """
        paths = sorted(folder / _TRIAL for folder in inside(self.workdir / _TRIALS))
        trials = (self._read(path) for path in paths if path.exists())
        return {trial.number: trial for trial in sorted(trials, key=lambda one: one.number) if trial.number < total}

    def write(self, trial: Trial) -> None:
        """Keeps what is known of a trial, whole."""
        folder = self.folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_sealed(folder / _TRIAL, dataclasses.asdict(trial))

    def _read(self, path: pathlib.Path) -> Trial:
        try:
            return Trial(**files.read_sealed(path))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}; delete this folder to do the trial again") from None


def _claim_text(config: ExperimentConfig, space: Sequence[Dimension], search: str, seed: int) -> str:
    """Not the number of trials: a sweep can be made longer."""
    asked: dict[str, Any] = {"search": search, "seed": seed, "space": [dataclasses.asdict(one) for one in space]}
    return json.dumps(asked | {"config": json.loads(configuration.to_json(config))}, indent=2)
