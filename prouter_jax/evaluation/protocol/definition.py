"""What a table measures: its units of work, and what its numbers are required to be."""

import copy
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from prouter_jax import config as configuration
from prouter_jax.config import Data, ExperimentConfig, build
from prouter_jax.dataset import Source, read_source
from prouter_jax.evaluation.protocol.table import Cell

MAIN, ABLATION = "main", "ablation"


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured and from where.

    Attributes:
      small: for tests and a first look: on the embedded benchmark alone.
      data: the folder of data sets.
      kept: where tuned settings are kept, for all units that share them.
    """

    small: bool
    data: pathlib.Path
    kept: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Unit:
    """One resumable piece of work: `function(**arguments)` gives one measurement, or a list of them.

    A measurement (a dict for JSON; NaN and None are unknown) is
      {"setting": str, "k": int or None, "seed": int, "metric": "reward" | "accuracy" | "log_loss",
       "policies": {name: {"reward": ..., "accuracy": ..., "top2": ..., "log_loss": ..., "calibration": ...,
                           "validation": the metric on validation, "seconds": ..., "settings": {tuned}}},
       "facts": {name: value}, and where shares are recovered "blind" and "full", scores of that metric}.

    Attributes:
      key: names the unit's file within the table.
      function: what must not decide whether a stored result is still good (paths, say) may be bound by partial.
      arguments: all that the result depends on, plain JSON.
    """

    key: str
    function: Callable[..., dict | list[dict]]
    arguments: Mapping[str, Any]


class Finding(NamedTuple):
    """The number of the cell that comes closest to missing what is asked, or misses it by most.

    `margin` is how far the number asked for is surpassed: below 0 it is missed, NaN is not measured.
    """

    margin: float
    value: float
    where: str


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A number asked for: `check(cells, metric)` is what was found of it.

    `checks` has the usual ones. `metric` "" is the metric of each setting. An aim is a requirement hoped for.
    """

    text: str
    metric: str
    check: Callable[[Sequence[Cell], str], Finding]
    aim: bool = False


@dataclasses.dataclass(frozen=True)
class Definition:
    """A table to be measured; in an `ABLATION` each policy but the router is the router without one part."""

    name: str
    title: str
    caption: str
    units: Sequence[Unit]
    requirements: Sequence[Requirement] = ()
    kind: str = MAIN


class MissingData(ValueError):
    """A folder of data that a setting needs is not there."""


def changed(config: ExperimentConfig, changes: Mapping[str, Any]) -> ExperimentConfig:
    """A copy of `config` with fields such as "data.split" replaced, validated.

    Raises:
      ValueError: on an unknown field or an impossible value.
    """
    config = copy.deepcopy(config)
    for path, value in changes.items():
        *sections, field = path.split(".")
        section = functools.reduce(getattr, sections, config)
        if not hasattr(section, field):
            raise ValueError(f"config.{path}: expected a field of the configuration, found none")
        setattr(section, field, value)
    return configuration.validate(config)


def to_arguments(config: ExperimentConfig) -> dict[str, Any]:
    """`config` as plain JSON; its data path is told from the folder of data sets."""
    return dataclasses.asdict(config)


def from_arguments(arguments: Mapping[str, Any], data: pathlib.Path) -> ExperimentConfig:
    """The inverse of `to_arguments`, for data sets in the folder `data`.

    Raises:
      MissingData: naming the path, if the data set is not there.
    """
    config = configuration.from_json(json.dumps(arguments))
    if config.data.path:
        path = data / config.data.path
        if not path.is_dir():
            raise MissingData(f"{path}: expected a folder of data, found none; name another --data")
        config.data.path = str(path)
    return config


def source_of(config: Data) -> Source:
    """What `read_source` reads; the last few are kept, for they are the same whatever the split."""
    unsplit = dataclasses.replace(config, split="cold_query", given=0, new_llms="", decisions_per_user=0)
    return _read(json.dumps(dataclasses.asdict(unsplit)))


@functools.lru_cache(maxsize=2)
def _read(text: str) -> Source:
    return read_source(build(Data, json.loads(text), "config.data"))
