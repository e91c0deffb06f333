"""Fields of a tree of dataclasses, whichever they are: got by their path, their types checked, built from JSON."""

import dataclasses
import typing
from typing import Any


def get_field(config, path: str) -> Any:
    """The value at a path such as "data.judge.seed"."""
    for name in path.split("."):
        config = getattr(config, name)
    return config


def require(good: bool, path: str, expected: str, found) -> None:
    """Raises a ValueError that names the field of a value that is not good."""
    if not good:
        raise ValueError(f"config.{path}: expected {expected}, found {found!r}")


def check_types(section, path: str) -> None:
    """Raises a ValueError for the first value that is not of its field's very type."""
    for name, kind in typing.get_type_hints(type(section)).items():
        value = getattr(section, name)
        if dataclasses.is_dataclass(kind):
            check_types(value, f"{path}.{name}")
        elif type(value) is not kind:
            raise ValueError(f"{path}.{name}: expected {kind.__name__}, found {value!r}")


def build(kind, values: dict, path: str):
    """Builds dataclass `kind` from a dictionary with exactly its fields, else raises a ValueError."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(hints):
        odd = sorted(set(hints) ^ set(values)) if isinstance(values, dict) else values
        raise ValueError(f"{path}: expected the keys {', '.join(hints)}, found a difference in {odd}")
    built = {}
    for name, hint in hints.items():
        nested = dataclasses.is_dataclass(hint)
        built[name] = build(hint, values[name], f"{path}.{name}") if nested else values[name]
    return kind(**built)
