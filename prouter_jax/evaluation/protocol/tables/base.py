"""Building blocks of the table definitions: configurations of data sets, tunings, units of work, and requirements.

A unit is one setting (a configuration with a name) measured with one seed. Names of settings and arguments of units are
part of the hashes of stored results: another name measures the unit again.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Requirement, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import Check
from prouter_jax.evaluation.protocol.tuning import Tuning

MCE = "multi_cost_efficiency"
# Model of users whose reward depends on answer quality ("effect") and cost alone.
COST_MODEL = {
    "model.unseen_queries": "utility",
    "model.style": False,
    "model.llm_weights": False,
    "model.factor_dim": 0,
    "model.population_mean": False,
}
SOME_USERS = 300  # users on whom hyperparameters are tuned, where tuning on all would take long
# The texts of the two most frequent requirements.
EVERY = "the router's mean gain over every baseline is at least 0"
EVERY_LOW = "the 95 % interval of the router's gain over every baseline is above 0"
# The tables are of preset "em", whatever the default is, but where one compares presets.
_PRESET = {"model.preset": "em"}
_LONG = {"train.num_train_steps": 16, "train.eval_every_steps": 8}
_SMALL = {
    "data.embedded.num_queries": 120,
    "data.embedded.num_users": 16,
    "data.embedded.num_llms": 5,
    "data.encoder": "hash",
    "train.num_train_steps": 6,
    "train.eval_every_steps": 6,
}
_SMALL_POLICIES = ("smoothed_favourite", "empirical_bayes", "neighbours_per_user")
_NONE: Mapping[str, Any] = {}


def choices(size: Size, changes: Mapping[str, Any] = _NONE) -> ExperimentConfig:
    """Configuration: 1,000 users choose among the answers of AlpacaEval's ten core LLMs, on new queries."""
    return data_set(size, "alpaca_route", {"data.pool": "core", **changes})


def costs(size: Size, folder: str, num_users: int, changes: Mapping[str, Any] = _NONE) -> ExperimentConfig:
    """Configuration: multi-cost-efficiency users, who weigh answer quality against cost, on a data set.

    Args:
      folder: name of the data set's folder.
      num_users: number of users; at most 9 in the small size.
      changes: further values of fields, such as {"data.pool": "core"}, by path.
    """
    users = {"data.users": MCE, "data.num_users": min(num_users, 9) if size.small else num_users}
    return data_set(size, folder, {**users, **COST_MODEL, **changes})


def votes(size: Size) -> ExperimentConfig:
    """Configuration: 80 crowd workers vote between two of 50 LLMs; some votes of each worker are held out."""
    # Effects are ignored: they are shares of votes won, test votes among them.
    # No style: 13 prompts are too few to learn it.
    changes = {"data.split": "warm_query", "data.ignore_effects": not size.small, "model.style": False}
    return data_set(size, "llmfao_votes", {**changes, "train.num_train_steps": 12, "train.eval_every_steps": 12})


def data_set(size: Size, folder: str, changes: Mapping[str, Any]) -> ExperimentConfig:
    """Configuration of a data set in the folder of data sets; a small embedded benchmark in the small size."""
    config = changed(ExperimentConfig(name=folder), _PRESET)
    if size.small:
        return changed(config, {**changes, **_SMALL, "data.pool": ""})
    return changed(config, {"data.source": "tables", "data.path": folder, **_LONG, **changes})


def embedded(size: Size, changes: Mapping[str, Any]) -> ExperimentConfig:
    """Configuration of the embedded benchmark with 1,000 users and 10 LLMs."""
    config = changed(ExperimentConfig(name="embedded"), {**_PRESET, **_LONG, **changes, "data.embedded.num_llms": 10})
    return changed(config, {**_SMALL, "data.num_users": 9}) if size.small else config


def tuning(size: Size, name: str, config: ExperimentConfig, **more) -> dict:
    """A `Tuning` as argument of a unit: 20 configurations of each policy; in the small size 2 of each of 3 policies."""
    if size.small:
        more |= {"budget": 2, "trainings": 1, "seeds": 1, "policies": _SMALL_POLICIES}
    return vars(Tuning(name, to_arguments(config), **more))


def choices_tuning(size: Size) -> dict:
    """The tuning that all tables with choices on new queries share."""
    return tuning(size, "choices_cold", some_users(size, choices(size)))


def costs_tuning(size: Size) -> dict:
    """The tuning that all tables with AlpacaEval's multi-cost-efficiency users share: 5 splits, as 9 users are few."""
    config = costs(size, "alpaca_route", 9, {"data.pool": "core"})
    return tuning(size, "costs_alpaca", config, trainings=1, seeds=5)


def some_users(size: Size, config: ExperimentConfig) -> ExperimentConfig:
    """The configuration with 300 of the users, for work that would take long with all."""
    return config if size.small else changed(config, {"data.most_users": SOME_USERS})


def split_units(
    size: Size, setting: str, config: ExperimentConfig, tuned: dict, number: int, metric: str = "reward"
) -> list[Unit]:
    """Units that compare the router and all baselines on one setting: one unit for each of `number` seeds."""
    arguments = {"setting": setting, "config": to_arguments(config), "metric": metric, "tuning": tuned}
    return [unit(size, setting, measure.measure_split, seed=seed, **arguments) for seed in seeds(size, number)]


def unit(size: Size, name: str, function: Callable, seed: int, **arguments) -> Unit:
    """A unit of one seed, with `size` bound to its function."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    return Unit(f"{plain}-seed_{seed}", functools.partial(function, size=size), {**arguments, "seed": seed})


def seeds(size: Size, number: int) -> Sequence[int]:
    """The seeds 0 to number - 1; 0 and 1 in the small size."""
    return range(2 if size.small else number)


def by_seed(units: Sequence[Unit]) -> list[Unit]:
    """Orders units by seed, so that a run that is stopped early has measured every setting."""
    return sorted(units, key=lambda unit: unit.arguments["seed"])


def required(text: str, check: Check, metric: str = "") -> Requirement:
    """A requirement that must be met.

    Args:
      check: see the module `requirements`.
      metric: the metric to check; "" for the metric of each setting.
    """
    return Requirement(text, metric, check)


def aim(text: str, check: Check, metric: str = "") -> Requirement:
    """An aim: a requirement that may be missed. Args: see `required`."""
    return Requirement(text, metric, check, aim=True)
