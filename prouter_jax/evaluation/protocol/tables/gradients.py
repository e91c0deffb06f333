"""Table "What gradient steps bring": preset "tuned" against the EM in the same training run, at temperature 1."""

from collections.abc import Mapping
from typing import Any

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol.definition import ABLATION, Definition, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.gradients import EM, measure_gradients
from prouter_jax.evaluation.protocol.requirements import gain, settings
from prouter_jax.evaluation.protocol.tables.base import (
    SOME_USERS,
    by_seed,
    choices,
    required,
    seeds,
    some_users,
    unit,
    votes,
)

_NEW = "choices, new users"
_LEAST = {0: 0.010, 1: 0.014, 3: 0.015, 10: 0.012, 30: 0.011}  # fall of the log loss by k, in nats


def tables(size: Size) -> list[Definition]:
    """The definition of the table."""
    of_choices = some_users(size, choices(size))
    units = (
        _units(size, _NEW, of_choices, {"data.split": "cold_user"}, tuple(_LEAST), 5)
        + _units(size, "choices, known users", of_choices, {}, (None,), 3)
        + _units(size, "votes, new workers", votes(size), {"data.split": "warm_user"}, (0, 10), 3)
    )
    return [
        Definition(
            "gradients",
            "What gradient steps bring",
            f'Preset "tuned" (router) against the EM in the same training run: choices of {SOME_USERS} users on new '
            "queries, and votes. k decisions of each new user are known. Temperature 1, no tuned settings. Scores are "
            "means over users. Intervals are over users, where the seeds in which a user is tested are one cluster. "
            "Accepted: in how many seeds the gate accepted the trained numbers; otherwise the router is EM.",
            by_seed(units),
            [
                required(f"k = {k}: the log loss falls by {least:.3f}", gain(least, EM, ks=(k,), where=settings(_NEW)))
                for k, least in _LEAST.items()
            ],
            kind=ABLATION,
        )
    ]


def _units(
    size: Size, setting: str, config: ExperimentConfig, changes: Mapping[str, Any], ks: tuple, number: int
) -> list[Unit]:
    few = {"train.tuning_steps": 4} if size.small else {}
    arguments = {
        "setting": setting,
        "config": to_arguments(changed(config, {"model.preset": "tuned", **changes, **few})),
        "ks": ks,
    }
    return [unit(size, setting, measure_gradients, seed=seed, **arguments) for seed in seeds(size, number)]
