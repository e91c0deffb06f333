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
from prouter_jax.serving.router import Trained


def training_settings(rng: np.random.Generator) -> dict[str, Any]:
    """One draw of what decides training."""
    return {
        "model.taste_dim": int(rng.choice([0, 4, 9, 12])),
        "model.taste_precision": _log(rng, 2, 20),
        "model.population_strength": _log(rng, 1, 20),
        "model.style": bool(rng.random() < 0.7),
        "model.llm_weights": bool(rng.random() < 0.7),
        "model.crowd": bool(rng.random() < 0.7),
    }


def foresight_settings(rng: np.random.Generator, model: Model) -> dict[str, Any]:
    """One draw of how near queries speak for new ones; shares only where the defaults foresee shares.

    Where they compare utilities, users never err: their shares say no more than their choices.
    """
    return {
        "model.foresight": str(rng.choice(["share", "utility"])) if model.foresight == "share" else model.foresight,
        "model.near.text": _log(rng, 0.5, 4),
        "model.near.style": float(rng.choice([0.0, 0.02, 0.1, 0.2])),
        "model.near.task": float(rng.choice([0.0, 0.1, 0.5])),
        "model.near.noise": _log(rng, 2, 50),
    }


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
        learnt = training_settings(rng) if number else {}
        begun = time.perf_counter()
        trained = train_router(changed(config, learnt), prepared, seed)
        for way in range(ways):
            settings = learnt | (foresight_settings(rng, config.model) if way else {})
            trials.append(_trial(settings, changed(config, settings), trained, prepared, begun))
            begun = time.perf_counter()
    return pick_best(trials, metric == LOG_LOSS)


def _trial(settings, config: ExperimentConfig, trained: Trained, prepared: Prepared, begun: float) -> Trial:
    validation = prepared.labelled("validation")
    scorer = dataclasses.replace(trained, model=config.model).apply(prepared.world)
    scores = trained.temperature * score_decisions(scorer, prepared, validation.decisions)
    rows = np.flatnonzero(~np.isnan(validation.rewards).all(1))
    return make_trial(settings, scores[rows], select(validation, rows), begun)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


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
