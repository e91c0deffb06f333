"""Settings chosen on validation, once for several units: kept in a file with every trial that led to them."""

import dataclasses
import hashlib
import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from prouter_jax.config import NEW_USERS, ExperimentConfig, Model
from prouter_jax.dataset import Prepared, prepare
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.registry import applicable
from prouter_jax.evaluation.baselines.tuning import Trial, Tuned, make_trial, pick_best, tune
from prouter_jax.evaluation.protocol.contest import LOG_LOSS, train_router
from prouter_jax.evaluation.protocol.definition import changed, from_arguments, source_of
from prouter_jax.evaluation.protocol.runner import claim
from prouter_jax.io import files
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.search import Space, draw, log_uniform, one_of
from prouter_jax.serving.router import Trained

_TRAINING: Space = {
    "model.taste_dim": one_of(0, 4, 9, 12),
    "model.taste_precision": log_uniform(2, 20),
    "model.population_strength": log_uniform(1, 20),
}
_PARTS = ("model.style", "model.llm_weights", "model.crowd")
_PART_SHARE = 0.7  # of the configurations that have a part
_QUERY_KERNEL: Space = {
    "model.near.text": log_uniform(0.5, 4),
    "model.near.style": one_of(0.0, 0.02, 0.1, 0.2),
    "model.near.task": one_of(0.0, 0.1, 0.5),
    "model.near.noise": log_uniform(2, 50),
}
_FORESIGHT: Space = {"model.foresight": one_of("share", "utility")}


def draw_training(rng: np.random.Generator) -> dict[str, Any]:
    """Random values of the fields that decide training."""
    return draw(_TRAINING, rng) | {part: bool(rng.random() < _PART_SHARE) for part in _PARTS}


def draw_query_kernel(rng: np.random.Generator, model: Model) -> dict[str, Any]:
    """Random values of the fields of the query kernel, which are applied without training.

    Targets are shares only where those of the default are: users who compare utilities never err, so that their
    shares say no more than their choices.
    """
    foresight = draw(_FORESIGHT, rng) if model.foresight == "share" else {"model.foresight": model.foresight}
    return foresight | draw(_QUERY_KERNEL, rng)


def tune_router(
    config: ExperimentConfig, prepared: Prepared, seed: int, budget: int, trainings: int, metric: str
) -> Tuned:
    """Trains `trainings` configurations, applies each in `budget // trainings` ways; the defaults come first.

    Args:
      seed: of the split and the training; the configurations are always the same.
      metric: of validation decisions by which the best is chosen.
    """
    rng, trials, ways = np.random.default_rng(0), [], max(budget // trainings, 1)
    for number in range(trainings):
        learnt = draw_training(rng) if number else {}
        begun = time.perf_counter()
        trained = train_router(changed(config, learnt), prepared, seed)
        for way in range(ways):
            settings = learnt | (draw_query_kernel(rng, config.model) if way else {})
            trials.append(_trial(settings, changed(config, settings), trained, prepared, begun))
            begun = time.perf_counter()
    return pick_best(trials, metric == LOG_LOSS)


def _trial(settings, config: ExperimentConfig, trained: Trained, prepared: Prepared, begun: float) -> Trial:
    validation = prepared.labelled("validation")
    scorer = dataclasses.replace(trained, model=config.model).apply(prepared.world)
    scores = trained.temperature * score_decisions(scorer, prepared, validation.decisions)
    rows = np.flatnonzero(~np.isnan(validation.rewards).all(1))
    return make_trial(settings, scores[rows], select(validation, rows), begun)


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What is tuned on what, plain JSON once `vars` are taken.

    Attributes:
      name: of the file.
      config: as `settings.to_arguments`, a setting in which known users are validated.
      metric: by which configurations are compared.
      budget: configurations of each contestant, the router too; the router trains `trainings` of them.
      seeds: splits, from seed 0 on, over whose validation scores configurations are compared: more for small data.
      policies: names; empty for all that apply.
    """

    name: str
    config: Mapping[str, Any]
    metric: str = "reward"
    budget: int = 20
    trainings: int = 5
    seeds: int = 1
    policies: tuple[str, ...] = ()


def tuned_settings(tuning: Tuning, data: pathlib.Path, kept: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The best settings of every contestant by name; what is kept of earlier is not searched again.

    Raises:
      ValueError: naming the file, if it is damaged or was made for another tuning.
      Busy: if another process is at it.
    """
    path = kept / f"{tuning.name}.json"
    record = _read(path, tuning)
    if ROUTER not in record["found"]:  # it comes last
        with claim(path.with_suffix(".claim")):
            record = _read(path, tuning)
            _complete(record, tuning, from_arguments(tuning.config, data), path)
    return {name: one["settings"] for name, one in record["found"].items()}


def _complete(record: dict, tuning: Tuning, config: ExperimentConfig, path: pathlib.Path) -> None:
    """Tunes who is not in the record yet; writes it after each."""
    if config.data.split in NEW_USERS:
        raise ValueError(f"tuning {tuning.name}: expected known users, found split {config.data.split!r}")
    splits = [prepare(source_of(config.data), config.data, seed) for seed in range(tuning.seeds)]
    for name in [*(tuning.policies or applicable(splits[0])), ROUTER]:
        if name not in record["found"]:
            begun = time.monotonic()
            found = _tune(name, tuning, config, splits)
            record["found"][name] = {"settings": found.settings, "trials": [_numbers(trial) for trial in found.trials]}
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_sealed(path, record)
            number, seconds = len(found.trials), time.monotonic() - begun
            print(f"tuned {name} for {tuning.name}: {number} configurations, {seconds:.0f} s", file=sys.stderr)


def _tune(name: str, tuning: Tuning, config: ExperimentConfig, splits: list[Prepared]) -> Tuned:
    """The best over all splits: every split tries the same configurations."""
    by_log_loss = tuning.metric == LOG_LOSS
    if name == ROUTER:
        asked = (tuning.budget, tuning.trainings, tuning.metric)
        found = [tune_router(config, prepared, seed, *asked) for seed, prepared in enumerate(splits)]
    else:
        found = [tune(name, prepared, tuning.budget, by_log_loss=by_log_loss) for prepared in splits]
    return found[0] if len(found) == 1 else pick_best(_averaged([one.trials for one in found]), by_log_loss)


def _averaged(trials: list[list[Trial]]) -> list[Trial]:
    """The mean over splits of each configuration's numbers."""
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
    """What is kept of a trial: all but the numbers of each query."""
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
        raise ValueError(f"{path}: expected the tuning that is asked for now, found another; name another --workdir")
    return record
