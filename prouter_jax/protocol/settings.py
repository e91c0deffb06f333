"""A setting of the protocol: an experiment, as plain JSON that a unit's arguments can hold."""

import copy
import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig
from prouter_jax.config_data import Data
from prouter_jax.config_fields import build
from prouter_jax.prepare import Source, read_source


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
