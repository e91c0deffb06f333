"""The validation rewards of a run, from its workdir: what trials are compared by. Nothing of the test is read."""

import json
import pathlib

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig
from prouter_jax.experiment import EXPERIMENT, seed_folders
from prouter_jax.io import files
from prouter_jax.training.checkpoint import BEST
from prouter_jax.training.loop import CHECKPOINTS
from prouter_jax.training.metrics_writer import METRICS


def read_rewards(config: ExperimentConfig, folder: pathlib.Path) -> list[float]:
    """The validation reward of the checkpoint that scores, of each seed of a finished run.

    Raises:
      ValueError: if the run is of another configuration, or a seed has no reward.
    """
    path = folder / EXPERIMENT
    if not path.exists() or path.read_text() != configuration.to_json(config):
        raise ValueError(
            f"{path}: expected the configuration of the trial, found {'another' if path.exists() else 'none'}"
        )
    return [_best_reward(place / CHECKPOINTS) for _, place in seed_folders(config, folder)]


def read_reports(config: ExperimentConfig, folder: pathlib.Path) -> list[tuple[int, float]]:
    """(step, reward) on the way, also of a run that is under way; the seeds follow one another.

    The reward is the mean over the seeds so far of their best validation rewards, so that it can be compared with
    other trials at the same step: a better seed comes at the same time for all.
    """
    reports: list[tuple[int, float]] = []
    finished: list[float] = []
    for place, (_, seed_folder) in enumerate(seed_folders(config, folder)):
        records = _read_metrics(seed_folder / METRICS)
        if not records:
            break
        for step, best in records:
            rewards = [*finished, best]
            reports.append((place * config.train.num_train_steps + step, sum(rewards) / len(rewards)))
        finished.append(records[-1][1])
    return reports


def _best_reward(checkpoints: pathlib.Path) -> float:
    try:
        return float(files.read_sealed(checkpoints / BEST)["metric"])
    except ValueError as error:
        raise ValueError(f"{checkpoints}/{error}") from None


def _read_metrics(path: pathlib.Path) -> list[tuple[int, float]]:
    """(step, best validation reward so far) of each whole line; the last may be half written."""
    if not path.exists():
        return []
    lines = (line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n"))
    records = map(json.loads, lines)
    return [(int(one["step"]), float(one["best_validation_reward"])) for one in records]
