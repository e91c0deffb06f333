"""The fields of a configuration as a list (path, type, range, value, meaning), and those nearest to a wrong name.

Meanings are those of the docstrings of `prouter_jax.config`.
"""

import dataclasses
import difflib
import inspect
import itertools
import re
import typing
from collections.abc import Iterator
from typing import Any

from prouter_jax.config import ExperimentConfig

_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
_ENTRY = re.compile(r"^  ((?:\w+, )*\w+): ", re.MULTILINE)
_MOST_HINTS = 3


@dataclasses.dataclass(frozen=True)
class FieldInfo:
    """A field of a configuration.

    Attributes:
      path: such as "model.hidden_dim".
      kind: its type in words.
      limits: what values it may have, "" for any of its type.
      value: in the configuration.
      meaning: one line.
    """

    path: str
    kind: str
    limits: str
    value: Any
    meaning: str

    @property
    def example(self) -> str:
        """A flag that sets the field."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"--config.{self.path}={value if value != '' else 'TEXT'}"


def list_fields(config: ExperimentConfig | None = None) -> list[FieldInfo]:
    """All fields in the order of the dataclasses, with the values of `config` or else the defaults."""
    return list(_fields(config or ExperimentConfig(), ""))


def near_fields(path: str) -> list[FieldInfo]:
    """The fields that a wrong path may mean: of the same or a similar last name, then of a similar path."""
    fields = {field.path: field for field in list_fields()}
    names = {name: name.rpartition(".")[2] for name in fields}
    last = path.rpartition(".")[2]
    close = difflib.get_close_matches(last, sorted(set(names.values())), _MOST_HINTS, 0.7)
    section = path.rpartition(".")[0]
    shared = [name for name, short in names.items() if set(last.split("_")) & set(short.split("_"))]
    found = [name for short in close for name in names if names[name] == short]
    found += sorted(shared, key=lambda name: name.rpartition(".")[0] != section)
    found += difflib.get_close_matches(path, fields, _MOST_HINTS, 0.75)
    return [fields[name] for name in list(dict.fromkeys(found))[:_MOST_HINTS]]


def hint(path: str) -> str:
    """The fields nearest to a wrong path with an example each, as the end of a message; "" for none."""
    found = ", ".join(field.example for field in near_fields(path))
    return f"; did you mean {found}?" if found else ""


def _fields(section: Any, prefix: str) -> Iterator[FieldInfo]:
    kinds, meanings = typing.get_type_hints(type(section)), _meanings(type(section))
    for field in dataclasses.fields(section):
        value, kind = getattr(section, field.name), kinds[field.name]
        path = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(kind):
            yield from _fields(value, f"{path}.")
        else:
            yield FieldInfo(path, _KINDS[kind], _limits(field), value, meanings.get(field.name, ""))


def _limits(field: dataclasses.Field) -> str:
    if "choices" in field.metadata:
        return f"one of {', '.join(field.metadata['choices'])}"
    if "range" in field.metadata:
        low, high = field.metadata["range"]
        return f"{low:,} to {high:,}"
    return ""


def _meanings(kind: type) -> dict[str, str]:
    """The entries of the section Attributes of a docstring, by name, as one line each."""
    text = inspect.getdoc(kind) or ""
    section = text.partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = list(_ENTRY.finditer(section))
    found = {}
    for entry, after in itertools.zip_longest(entries, entries[1:]):
        end = after.start() if after else len(section)
        meaning = " ".join(section[entry.end() : end].split())
        found |= dict.fromkeys(entry[1].split(", "), meaning)
    return found
