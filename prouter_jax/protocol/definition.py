"""What a table measures: its units of work, and what its numbers are required to be."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from prouter_jax.protocol.table import Cell

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
