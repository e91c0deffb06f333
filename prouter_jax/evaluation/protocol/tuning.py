"""Tunes the hyperparameters of the router and the baselines on validation decisions, and stores the results.

The result of a tuning is one file that many units of the protocol share.

A router's configuration is trained once and then scored with several query kernels, which need no training. Preset
"tuned" keeps its defaults: gradients train most of what the search would choose.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from prouter_jax.config import NEW_USERS, ExperimentConfig, Model
from prouter_jax.dataset import Dataset, prepare_dataset
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.tuning import Trial, Tuned, applicable, make_trial, pick_best, tune
from prouter_jax.evaluation.protocol.definition import cached_source, changed, from_arguments
from prouter_jax.evaluation.protocol.fitting import train_router
from prouter_jax.evaluation.protocol.scoring import LOG_LOSS
from prouter_jax.io import files
from prouter_jax.io.locks import lock
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.search import Space, draw, log_uniform, one_of
from prouter_jax.serving.router import Trained

_TRAINING: Space = {
    "model.factor_dim": one_of(0, 4, 9, 12),
    "model.factor_precision": log_uniform(2, 20),
    "model.prior_strength": log_uniform(1, 20),
}
_PARTS = ("model.style", "model.llm_weights", "model.population_mean")
_PART_SHARE = 0.7  # probability that a configuration has the part
_QUERY_KERNEL: Space = {
    "model.query_kernel.text": log_uniform(0.5, 4),
    "model.query_kernel.style": one_of(0.0, 0.02, 0.1, 0.2),
    "model.query_kernel.task": one_of(0.0, 0.1, 0.5),
    "model.query_kernel.noise": log_uniform(2, 50),
}
_UNSEEN_QUERIES: Space = {"model.unseen_queries": one_of("share", "utility")}


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A search for the hyperparameters of the router and the baselines; `vars` gives plain JSON.

    Attributes:
      name: name of its file.
      config: configuration from `definition.to_arguments`, with a split in which all users have training decisions.
      metric: the metric of validation decisions by which configurations are compared.
      budget: number of configurations of each policy.
      trainings: number of trainings of the router; `budget / trainings` query kernels are scored with each.
      seeds: number of splits, from seed 0, whose validation scores are averaged; several for small data.
      policies: names of the baselines; empty for all that apply.
    """

    name: str
    config: Mapping[str, Any]
    metric: str = "reward"
    budget: int = 20
    trainings: int = 5
    seeds: int = 1
    policies: tuple[str, ...] = ()


def tuned_settings(tuning: Tuning, data: pathlib.Path, folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The best hyperparameters of the router and of each baseline, by name; stored ones are not searched again.

    Raises:
      ValueError: naming the file, if it is damaged or belongs to another tuning.
      Busy: if another process holds its lock.
    """
    path = folder / f"{tuning.name}.json"
    record = _read(path, tuning)
    if ROUTER not in record["found"]:  # the router is tuned last
        with lock(path.with_suffix(".lock")):
            record = _read(path, tuning)
            _complete(record, tuning, from_arguments(tuning.config, data), path)
    return {name: one["settings"] for name, one in record["found"].items()}


def tune_router(
    config: ExperimentConfig, dataset: Dataset, seed: int, budget: int, trainings: int, metric: str
) -> Tuned:
    """Trains `trainings` configurations and scores each with `budget // trainings` query kernels.

    The first configuration and the first kernel are the defaults.

    Args:
      seed: seed of the split and the training; the configurations are the same for every seed.
      metric: the metric of validation decisions by which the best is chosen.
    """
    rng, trials, kernels = np.random.default_rng(0), [], max(budget // trainings, 1)
    for number in range(trainings):
        fields = draw_training(rng) if number else {}
        begun = time.perf_counter()
        trained = train_router(changed(config, fields), dataset, seed)
        for kernel in range(kernels):
            settings = fields | (draw_query_kernel(rng, config.model) if kernel else {})
            trials.append(_trial(settings, changed(config, settings), trained, dataset, begun))
            begun = time.perf_counter()
    return pick_best(trials, metric == LOG_LOSS)


def draw_training(rng: np.random.Generator) -> dict[str, Any]:
    """Random values of the fields that decide training."""
    return draw(_TRAINING, rng) | {part: bool(rng.random() < _PART_SHARE) for part in _PARTS}


def draw_query_kernel(rng: np.random.Generator, model: Model) -> dict[str, Any]:
    """Random values of the fields of the query kernel, which are applied without training.

    `model.unseen_queries` is drawn only if its default is "share". Users who compare utilities never err, so their
    shares carry no more information than their choices.
    """
    kept = {"model.unseen_queries": model.unseen_queries}
    unseen_queries = draw(_UNSEEN_QUERIES, rng) if model.unseen_queries == "share" else kept
    return unseen_queries | draw(_QUERY_KERNEL, rng)


def _trial(settings, config: ExperimentConfig, trained: Trained, dataset: Dataset, begun: float) -> Trial:
    validation = dataset.labelled("validation")
    scorer = dataclasses.replace(trained, model=config.model).apply(dataset.world)
    scores = trained.temperature * score_decisions(scorer, dataset, validation.decisions)
    rows = np.flatnonzero(~np.isnan(validation.rewards).all(1))
    return make_trial(settings, scores[rows], select(validation, rows), begun)


def _complete(record: dict, tuning: Tuning, config: ExperimentConfig, path: pathlib.Path) -> None:
    """Tunes the policies that the record lacks, and writes it after each."""
    if config.data.split in NEW_USERS:
        raise ValueError(f"tuning {tuning.name}: expected a split without new users, found {config.data.split!r}")
    splits = [prepare_dataset(cached_source(config.data), config.data, seed) for seed in range(tuning.seeds)]
    for name in [*(tuning.policies or applicable(splits[0])), ROUTER]:
        if name not in record["found"]:
            begun = time.monotonic()
            found = _tune(name, tuning, config, splits)
            record["found"][name] = {"settings": found.settings, "trials": [_numbers(trial) for trial in found.trials]}
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_sealed(path, record)
            number, seconds = len(found.trials), time.monotonic() - begun
            print(f"tuned {name} for {tuning.name}: {number} configurations, {seconds:.0f} s", file=sys.stderr)


def _tune(name: str, tuning: Tuning, config: ExperimentConfig, splits: list[Dataset]) -> Tuned:
    """The configuration that is best on the mean over all splits."""
    by_log_loss = tuning.metric == LOG_LOSS
    if name == ROUTER and config.model.preset == "tuned":
        return Tuned({}, math.nan, [])
    if name == ROUTER:
        search = (tuning.budget, tuning.trainings, tuning.metric)
        found = [tune_router(config, dataset, seed, *search) for seed, dataset in enumerate(splits)]
    else:
        found = [tune(name, dataset, tuning.budget, by_log_loss=by_log_loss) for dataset in splits]
    return found[0] if len(found) == 1 else pick_best(_averaged([one.trials for one in found]), by_log_loss)


def _averaged(trials: list[list[Trial]]) -> list[Trial]:
    """Each configuration's metrics, averaged over splits."""
    return [
        Trial(
            settings=same[0].settings,
            reward=float(np.mean([one.reward for one in same])),
            log_loss=float(np.mean([one.log_loss for one in same])),
            seconds=sum(one.seconds for one in same),
            rewards=np.concatenate([one.rewards for one in same]),
            losses=np.concatenate([one.losses for one in same]),
        )
        for same in zip(*trials, strict=True)
    ]


def _numbers(trial: Trial) -> dict[str, Any]:
    """A trial for the record: all but the metrics of each query."""
    return {name: value for name, value in trial._asdict().items() if not isinstance(value, np.ndarray)}


def _read(path: pathlib.Path, tuning: Tuning) -> dict:
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(tuning), sort_keys=True).encode()).hexdigest()
    if not path.exists():
        return {"digest": digest, "found": {}}
    try:
        record = files.read_sealed(path)
    except ValueError as error:
        raise ValueError(f"{path.parent}/{error}; delete it to tune again") from error
    if record["digest"] != digest:
        raise ValueError(f"{path}: expected the tuning of this table, found another one; name another --workdir")
    return record
