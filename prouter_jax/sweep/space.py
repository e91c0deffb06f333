"""Parses the fields and values that a sweep (a hyperparameter search) varies: `--sweep=FIELD=VALUES`.

VALUES are a list, as in `--sweep=model.hidden_dim=32,64`, or a range with a uniform or logarithmic distribution, as in
`--sweep=optimizer.learning_rate=1e-4:1e-2:log`. They become Optuna distributions, from which `make_search` builds a
grid or a random search.
"""

import csv
import dataclasses
import math
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from prouter_jax.config import ExperimentConfig, current_path, validate, with_values
from prouter_jax.config import field_type as type_of_field
from prouter_jax.config_fields import near_fields
from prouter_jax.search import GRID, RANDOM, Distribution, Search, Space

MAX_TRIALS = 10_000
Value = bool | int | float | str

_FIXED = ("name", "seed", "seeds")
# The only fields of config.data that leave the validation decisions unchanged, so that rewards can be compared.
_SAME_VALIDATION = ("data.encoder", "data.decisions_per_user")
_BOOLEANS = {"true": True, "false": False}


def parse_space(texts: Iterable[str], config: ExperimentConfig) -> dict[str, Distribution]:
    """The distributions of `texts`, each FIELD=VALUES, by path of the field such as "model.hidden_dim".

    Args:
      config: base configuration, in which each listed value and each end of a range is validated.

    Raises:
      ValueError: naming the text, if its field is unknown or cannot be swept, or a value is not possible.
    """
    space: dict[str, Distribution] = {}
    for text in texts:
        try:
            path, distribution = _parse(text)
            if path in space:
                raise ValueError("expected each field once, found it twice")
            for value in _values_to_check(distribution):
                validate(with_values(config, {path: value}))
        except ValueError as error:
            raise ValueError(f"--sweep={text}: {error}") from None
        space[path] = distribution
    if not space:
        raise ValueError("--sweep: expected at least one FIELD=VALUES, found none")
    return space


def make_search(kind: str | None, space: Space, trials: int | None, seed: int, config: ExperimentConfig) -> Search:
    """The search of `--search` and `--trials`; configurations that do not depend on results are validated.

    Args:
      kind: GRID, RANDOM or TPE; None means GRID if every field has a list and `trials` is None, otherwise RANDOM.
      trials: number of trials; None for a grid.

    Raises:
      ValueError: if the number of trials does not fit the kind, or a combination of values is not possible.
    """
    if kind is None:
        lists = all(isinstance(one, CategoricalDistribution) for one in space.values())
        kind = GRID if trials is None and lists else RANDOM
    _check_number(kind, space, trials)
    search = Search(space, kind, trials, seed, config.train.num_train_steps)
    for number, values in enumerate(search.fixed):
        try:
            validate(with_values(config, values))
        except ValueError as error:
            text = ", ".join(f"{path}={flag_text(value)}" for path, value in values.items())
            raise ValueError(f"trial {number} ({text}): {error}") from None
    return search


def flag_text(value: Any) -> str:
    """The text of a value in `--config.FIELD=TEXT`; `parse_value` is its inverse."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_value(text: str, kind: type) -> Value:
    """A value of the type `kind` from its text in `--config.FIELD=TEXT`.

    Raises:
      ValueError: if it is not the text of such a value.
    """
    if kind is str:
        return text
    if kind is not bool:
        return _parse_number(text, kind)
    if text not in _BOOLEANS:
        raise ValueError(f"expected true or false, found {text!r}")
    return _BOOLEANS[text]


def field_type(path: str) -> type:
    """The type of a field that can be swept.

    Raises:
      ValueError: if there is no such field, or trials that differ in it could not be compared.
    """
    try:
        kind = type_of_field(path)
    except ValueError as error:
        near = ", ".join(field.path for field in near_fields(path))
        raise ValueError(f"{error}; did you mean {near}?" if near else str(error)) from None
    if dataclasses.is_dataclass(kind):
        raise ValueError(f"expected a field of config.{path}: {', '.join(typing.get_type_hints(kind))}; found none")
    if path in _FIXED:
        raise ValueError(f"expected a field to choose, found {path!r}: every trial trains the seeds of --config.seeds")
    if path.startswith("data.") and path not in _SAME_VALIDATION:
        raise ValueError(
            f"expected a field that leaves the validation decisions as they are, found {path!r}: "
            f"of the data only {' and '.join(_SAME_VALIDATION)} can be swept"
        )
    return kind


def to_json(space: Space) -> list[dict[str, Any]]:
    """The space for a JSON file: path and values, or path, low, high and log."""
    return [
        {"path": path, "values": list(one.choices)}
        if isinstance(one, CategoricalDistribution)
        else {"path": path, "low": one.low, "high": one.high, "log": one.log}
        for path, one in space.items()
    ]


def _check_number(kind: str, space: Space, trials: int | None) -> None:
    if kind == GRID:
        size = math.prod(len(one.choices) for one in space.values() if isinstance(one, CategoricalDistribution))
        if trials is not None:
            raise ValueError(f"--trials: expected none for a grid, which has {size}, found {trials}")
        trials = size
    if trials is None or not 1 <= trials <= MAX_TRIALS:
        raise ValueError(f"--trials: expected a number from 1 to {MAX_TRIALS} for a search of {kind}, found {trials}")


def _parse(text: str) -> tuple[str, Distribution]:
    path, separator, values = text.partition("=")
    if not separator:
        raise ValueError("expected FIELD=VALUES")
    path = current_path(path.removeprefix("config."))
    kind = field_type(path)
    if ":" in values and kind in (int, float):
        return path, _parse_range(values, kind)
    found = [parse_value(value, kind) for value in _split_list(values)]
    if len(set(found)) < len(found):
        raise ValueError("expected each value once, found one twice")
    return path, CategoricalDistribution(found)


def _split_list(text: str) -> list[str]:
    """The values of a list, separated as in a row of a CSV file: a value that contains a comma is quoted."""
    try:
        return next(csv.reader([text], strict=True)) or [""]
    except csv.Error as error:
        raise ValueError(f"expected values with commas between, found {text!r}: {error}") from None


def _parse_range(text: str, kind: type) -> Distribution:
    ends = text.split(":")
    log = len(ends) == 3 and ends[2] == "log"
    if len(ends) != 2 and not log:
        raise ValueError(f"expected LOW:HIGH or LOW:HIGH:log, found {text!r}")
    low, high = (_parse_number(end, kind) for end in ends[:2])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"expected a low end below the high end, found {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"expected a low end above 0 for a log range, found {low}")
    return IntDistribution(int(low), int(high), log) if kind is int else FloatDistribution(low, high, log)


def _parse_number(text: str, kind: type) -> int | float:
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"expected a {'whole ' if kind is int else ''}number, found {text!r}") from None


def _values_to_check(distribution: Distribution) -> Sequence[Any]:
    """All values of a list, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution.low, distribution.high
