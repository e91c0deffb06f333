"""The fields of a configuration by their paths: what may be swept, values from text, a configuration with values."""

import copy
import dataclasses
import typing
from collections.abc import Mapping

from prouter_jax.config import ExperimentConfig

Value = bool | int | float | str
Values = Mapping[str, Value]  # by path, such as "model.hidden_dim"

_NOT_SWEPT = ("name", "seed", "seeds")
_SAME_VALIDATION = ("data.encoder", "data.decisions_per_user")  # of the data, what no validation reward depends on


def kind_of(path: str) -> type:
    """The type of a field that may be swept.

    Raises:
      ValueError: if there is no such field, or trials that differ in it could not be compared.
    """
    kind, places = ExperimentConfig, path.split(".")
    for depth, name in enumerate(places):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if name not in hints:
            where = ".".join(["config", *places[:depth]])
            raise ValueError(f"expected a field of {where}: {', '.join(hints) or 'it has none'}; found {name!r}")
        kind = hints[name]
    if dataclasses.is_dataclass(kind):
        raise ValueError(f"expected a field of config.{path}: {', '.join(typing.get_type_hints(kind))}; found none")
    _require_comparable(path)
    return kind


def parse_value(text: str, kind: type) -> Value:
    """A value of the type from its text, as `--config.FIELD=TEXT` reads it.

    Raises:
      ValueError: if it is not the text of such a value.
    """
    if kind is str:
        return text
    if kind is not bool:
        return parse_number(text, kind)
    if text not in _BOOLEANS:
        raise ValueError(f"expected true or false, found {text!r}")
    return _BOOLEANS[text]


def parse_number(text: str, kind: type) -> int | float:
    """An int or a float from its text.

    Raises:
      ValueError: if it is not the text of such a number.
    """
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"expected a {'whole ' if kind is int else ''}number, found {text!r}") from None


def flag_text(value: Value) -> str:
    """The text of a value in `--config.FIELD=TEXT`; read again it is the same value."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_values(config: ExperimentConfig, values: Values) -> ExperimentConfig:
    """A copy of the configuration with these values, not validated."""
    config = copy.deepcopy(config)
    for path, value in values.items():
        *sections, name = path.split(".")
        section = config
        for one in sections:
            section = getattr(section, one)
        setattr(section, name, value)
    return config


def _require_comparable(path: str) -> None:
    if path in _NOT_SWEPT:
        raise ValueError(f"expected a field to choose, found {path!r}: every trial trains the seeds of --config.seeds")
    if path.startswith("data.") and path not in _SAME_VALIDATION:
        raise ValueError(
            f"expected a field that leaves the validation decisions as they are, found {path!r}: "
            f"of the data only {' and '.join(_SAME_VALIDATION)} can be swept"
        )


_BOOLEANS = {"true": True, "false": False}
