"""What a sweep chooses from: for each `--sweep=FIELD=VALUES` a list (32,64) or a range (LOW:HIGH, LOW:HIGH:log)."""

import csv
import dataclasses
import math
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from prouter_jax.config import ExperimentConfig, validate
from prouter_jax.sweep.fields import Value, Values, kind_of, parse_number, parse_value, with_values


@dataclasses.dataclass(frozen=True)
class Choices:
    """A list of values of the field `path`."""

    path: str
    values: Sequence[Value]

    def draw(self, rng: np.random.Generator) -> Value:
        return self.values[int(rng.integers(len(self.values)))]


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included, of the field `path`; `log`: evenly over orders of magnitude.

    Whole numbers are drawn where the ends are whole (int).
    """

    path: str
    low: int | float
    high: int | float
    log: bool

    def draw(self, rng: np.random.Generator) -> int | float:
        whole = isinstance(self.low, int)
        low, high = float(self.low), float(self.high + 1 if whole else self.high)
        number = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else rng.uniform(low, high)
        # four digits are as good as sixteen and can be read
        number = math.floor(number) if whole else float(f"{number:.4g}")
        return min(max(number, self.low), self.high)


Dimension = Choices | Range


def parse_space(texts: Iterable[str], config: ExperimentConfig) -> list[Dimension]:
    """The space that `texts` (each FIELD=VALUES) describe; all values, or the ends of ranges, are tried on `config`.

    Raises:
      ValueError: naming the text, if its field is unknown or cannot be swept, or its values are not possible.
    """
    space: dict[str, Dimension] = {}
    for text in texts:
        try:
            dimension = _parse(text)
            if dimension.path in space:
                raise ValueError("expected each field once, found it twice")
            for value in _extremes(dimension):
                validate(with_values(config, {dimension.path: value}))
        except ValueError as error:
            raise ValueError(f"--sweep={text}: {error}") from None
        space[dimension.path] = dimension
    if not space:
        raise ValueError("--sweep: expected at least one FIELD=VALUES, found none")
    return list(space.values())


def draw(space: Iterable[Dimension], seed: int, number: int) -> Values:
    """The values of a random trial: of nothing but the sweep's seed, the trial's number and each field's own range."""
    streams = ((one, np.random.default_rng([seed, number, zlib.crc32(one.path.encode())])) for one in space)
    return {one.path: one.draw(rng) for one, rng in streams}


def grid_size(space: Iterable[Dimension]) -> int:
    """The number of combinations of lists.

    Raises:
      ValueError: if there is a range among them.
    """
    sizes = []
    for one in space:
        if isinstance(one, Range):
            raise ValueError(f"--sweep={one.path}: expected a list of values for a grid, found a range")
        sizes.append(len(one.values))
    return math.prod(sizes)


def grid_point(space: Sequence[Dimension], number: int) -> Values:
    """One combination of lists; the values of the last list change fastest."""
    lists = [one for one in space if isinstance(one, Choices)]
    places = np.unravel_index(number, [len(one.values) for one in lists])
    return {one.path: one.values[int(place)] for one, place in zip(lists, places, strict=True)}


def _parse(text: str) -> Dimension:
    path, separator, values = text.partition("=")
    if not separator:
        raise ValueError("expected FIELD=VALUES")
    kind = kind_of(path)
    if ":" in values and kind in (int, float):
        return _parse_range(path, values, kind)
    found = [parse_value(cell, kind) for cell in _cells(values)]
    if len(set(found)) < len(found):
        raise ValueError("expected each value once, found one twice")
    return Choices(path, tuple(found))


def _cells(text: str) -> list[str]:
    """As in a row of a CSV file: a text with a comma in it stands in quotes."""
    try:
        return next(csv.reader([text], strict=True)) or [""]
    except csv.Error as error:
        raise ValueError(f"expected values with commas between, found {text!r}: {error}") from None


def _parse_range(path: str, text: str, kind: type) -> Range:
    ends = text.split(":")
    log = len(ends) == 3 and ends[2] == "log"
    if len(ends) != 2 and not log:
        raise ValueError(f"expected LOW:HIGH or LOW:HIGH:log, found {text!r}")
    low, high = (parse_number(end, kind) for end in ends[:2])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"expected a low end below the high end, found {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"expected a low end above 0 for a log range, found {low}")
    return Range(path, low, high, log)


def _extremes(dimension: Dimension) -> Iterable[Value]:
    return dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)
