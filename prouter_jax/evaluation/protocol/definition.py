"""Definition of a result table: the units of work that measure it, and the numbers that it requires.

A setting is one experimental condition: a data set, a kind of split and a model, as the configuration of an experiment.
A unit measures one setting with one seed. Its arguments hold the configuration as plain JSON.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from prouter_jax import config as configuration
from prouter_jax.config import Data, ExperimentConfig, from_dict, with_values
from prouter_jax.dataset import Source, read_source
from prouter_jax.evaluation.protocol.table import Group
from prouter_jax.report.types import ROUTER

MAIN, ABLATION = "main", "ablation"
CLAIMS = "claims"  # the first table of the results
METRICS = ("reward", "accuracy", "log_loss", "regret")
# fields added after results were stored, whose hashes stay as they are
_LATER = (("data", "history"), ("train", "refit"))
_REQUIRED = {"setting": str, "seed": int, "metric": str, "policies": Mapping}


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a run of the protocol, and its folders.

    Attributes:
      small: whether every setting uses the embedded benchmark with few users; for tests and a first look.
      data: folder of the data sets.
      tuned: folder of the tuned hyperparameters, which units share.
    """

    small: bool
    data: pathlib.Path
    tuned: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Unit:
    """One resumable piece of work: `function(**arguments)` returns one measurement or a list of them.

    A measurement is a dict of JSON values; NaN and None mean not measured. The value of k is the number of decisions in
    a new user's history, "settings" are tuned hyperparameters:
      {"setting": str, "k": int or None, "seed": int, "metric": one of METRICS,
       "policies": {name: {"reward": ..., "accuracy": ..., "top2": ..., "log_loss": ..., "calibration": ...,
                           "slope": ..., "validation": the metric on validation, "seconds": ..., "settings": {tuned}}},
       "facts": {name: value}, for intervals over users "by_user": {policy: {metric: {user: number}}}, and for a share
       recovered "blind" and "full", scores as in `table.Group`}.

    Attributes:
      key: name of the unit's file within the table.
      function: bind by functools.partial what a stored result does not depend on, such as paths.
      arguments: everything that the result depends on, plain JSON; their hash is stored with the result.
    """

    key: str
    function: Callable[..., dict | list[dict]]
    arguments: Mapping[str, Any]


class Finding(NamedTuple):
    """The measured number that comes closest to missing a requirement.

    Attributes:
      margin: how far the number exceeds the required one; below 0 the requirement is missed; NaN if not measured.
      value: the number.
      where: the group of the number.
    """

    margin: float
    value: float
    where: str


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A number that the results of a table must reach.

    Attributes:
      text: the requirement in words.
      metric: the metric to check; "" for the metric of each setting.
      check: returns the finding with the smallest margin; arguments are the groups of the table and the metric. The
        module `requirements` has functions that build checks.
      aim: whether the requirement is an aim, which may be missed.
    """

    text: str
    metric: str
    check: Callable[[Sequence[Group], str], Finding]
    aim: bool = False


@dataclasses.dataclass(frozen=True)
class Definition:
    """A table to be measured.

    Attributes:
      name: name of its files.
      title, caption: Markdown heading and explanation for readers.
      units: the pieces of work that measure it.
      requirements: the numbers that its results must reach.
      kind: MAIN, where the router is compared with baselines, or ABLATION, where it is compared with variants that
        lack one of its parts.
    """

    name: str
    title: str
    caption: str
    units: Sequence[Unit]
    requirements: Sequence[Requirement] = ()
    kind: str = MAIN


class MissingData(ValueError):
    """A data set that a setting needs is missing."""


def changed(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """A copy of `config` with fields such as "data.split" replaced, validated.

    Raises:
      ValueError: for an unknown field or an invalid value.
    """
    return configuration.validate(with_values(config, values))


def to_arguments(config: ExperimentConfig) -> dict[str, Any]:
    """`config` as plain JSON; its data path is relative to the folder of data sets.

    Fields of `_LATER` are left out at their default value.
    """
    tree, default = dataclasses.asdict(config), dataclasses.asdict(ExperimentConfig())
    for section, name in _LATER:
        if tree[section][name] == default[section][name]:
            del tree[section][name]
    return tree


def from_arguments(arguments: Mapping[str, Any], data: pathlib.Path) -> ExperimentConfig:
    """The inverse of `to_arguments`, for data sets in the folder `data`.

    Raises:
      MissingData: naming the path, if the data set is missing.
    """
    config = configuration.from_json(json.dumps(arguments))
    if config.data.path:
        path = data / config.data.path
        if not path.is_dir():
            raise MissingData(f"{path}: expected a folder of data, found none; name another --data")
        config.data.path = str(path)
    return config


def cached_source(config: Data) -> Source:
    """`read_source` with a cache of the last two sources, which all splits of a data set share."""
    unsplit = dataclasses.replace(
        config, split="cold_query", given=0, new_llms="", decisions_per_user=0, history="known"
    )
    return _read_source(json.dumps(dataclasses.asdict(unsplit)))


def check_measurement(one: object) -> None:
    """Raises a ValueError, naming the field, unless `one` is a measurement as `Unit` describes it."""
    if not isinstance(one, Mapping):
        raise ValueError(f"measurement: expected a mapping, found {str(one)[:60]!r}")
    for name, kind in _REQUIRED.items():
        if not isinstance(one.get(name), kind):
            raise ValueError(f"measurement, {name}: expected {kind.__name__}, found {one.get(name)!r}")
    if one["metric"] not in METRICS:
        raise ValueError(f"measurement, metric: expected one of {', '.join(METRICS)}, found {one['metric']!r}")
    if not isinstance(one.get("k", ""), int | None):
        raise ValueError(f"measurement, k: expected a whole number or null, found {one.get('k', 'nothing')!r}")
    if ROUTER not in one["policies"]:
        raise ValueError(f"measurement, policies: expected {ROUTER!r}, found {', '.join(one['policies'])}")
    for end in ("blind", "full"):
        _check_number(one.get(end), end)
    for policy, values in one["policies"].items():
        _check_policy(policy, values, one["metric"])


@functools.lru_cache(maxsize=2)
def _read_source(text: str) -> Source:
    return read_source(from_dict(Data, json.loads(text), "config.data"))


def _check_policy(policy: str, values: Mapping, metric: str) -> None:
    if metric not in values or (policy == ROUTER and values[metric] is None):
        known = ", ".join(name for name, value in values.items() if value is not None)
        raise ValueError(f"measurement, policies, {policy}: expected {metric}, found {known or 'nothing'}")
    for name, value in values.items():
        if name != "settings":
            _check_number(value, f"policies, {policy}, {name}")


def _check_number(value, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"measurement, {where}: expected a number or null, found {str(value)[:60]}")
