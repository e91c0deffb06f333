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

from prouter_jax import files
from prouter_jax.config import ExperimentConfig
from prouter_jax.config_limits import NEW_USERS
from prouter_jax.policies.spaces import applicable
from prouter_jax.policies.tuning import Trial, Tuned, pick_best, tune
from prouter_jax.prepare import Prepared, prepare
from prouter_jax.protocol.claims import claim
from prouter_jax.protocol.judging import LOG_LOSS
from prouter_jax.protocol.search import tune_router
from prouter_jax.protocol.settings import from_arguments, source_of
from prouter_jax.report.types import ROUTER


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
