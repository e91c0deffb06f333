"""Table: for each setting the metrics of every policy over seeds and the router's gains, from measurements."""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from prouter_jax.metrics import Interval, difference_over_seeds, share_over_seeds
from prouter_jax.report.types import ROUTER, PairedDifference, SeedStatistics

ORACLE = "oracle"
LESS_IS_BETTER = ("log_loss", "calibration", "seconds")
MIN_LEARNABLE_GAIN = 0.02  # of a metric; below it the share recovered is mostly noise
_NOT_MEASURED = ("settings",)


@dataclasses.dataclass(frozen=True)
class Row:
    """One policy in one setting.

    Attributes:
      metrics: over seeds, by metric; "validation" is the cell's metric on validation decisions.
      gains: the router against this policy on the same seeds, by metric; above 0 the router is better, also where
        less of the metric is better.
      share: the share recovered (score - blind) / (full - blind) with its interval over seeds; NaN where not measured.
      settings: the tuned settings of each seed.
    """

    metrics: Mapping[str, SeedStatistics]
    gains: Mapping[str, PairedDifference]
    share: Interval
    settings: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting at one k.

    Attributes:
      k: number of decisions in a new user's history, or with a new LLM on offer; None where there are no such.
      rows: by policy.
      best_baseline: the best on validation, "" where unknown.
      blind, full: score without and with all of the histories.
    """

    setting: str
    k: int | None
    metric: str
    seeds: Sequence[int]
    rows: Mapping[str, Row]
    best_baseline: str
    blind: SeedStatistics
    full: SeedStatistics
    facts: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A requirement and its status: "met", "missed by x" or "not measured".

    Attributes:
      found: the number with the smallest margin and its cell; "" if not measured.
    """

    text: str
    aim: bool
    status: str
    margin: float
    found: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """All numbers of a table.

    Attributes:
      seconds: to measure the units.
      failed: keys of the units without a result.
    """

    name: str
    title: str
    caption: str
    kind: str
    cells: Sequence[Cell]
    verdicts: Sequence[Verdict]
    facts: Mapping[str, str]
    seconds: float
    failed: Sequence[str] = ()


def build_cells(measurements: Iterable[Mapping]) -> list[Cell]:
    """One cell for each setting and k: settings in the order of the measurements, k and seeds rising.

    Raises:
      ValueError: naming the setting, if two measurements have the same seed or its metrics differ.
    """
    groups = collections.defaultdict(list)
    for one in measurements:
        groups[one["setting"], one["k"]].append(one)
    order = list(dict.fromkeys(setting for setting, _ in groups))
    keys = sorted(groups, key=lambda key: (order.index(key[0]), -1 if key[1] is None else key[1]))
    return [_build_cell(sorted(groups[key], key=lambda one: one["seed"])) for key in keys]


def baselines(cell: Cell) -> list[str]:
    """All policies but the router and the oracle."""
    return [name for name in cell.rows if name not in (ROUTER, ORACLE)]


def sign(metric: str) -> int:
    """1 if a higher metric is better, -1 if a lower one is."""
    return -1 if metric in LESS_IS_BETTER else 1


def learnable_gain(cell: Cell) -> float:
    """How much better the fully trained score is than the blind one; NaN where there are none."""
    return sign(cell.metric) * (cell.full.mean - cell.blind.mean)


def by_learnable_gain(cells: Sequence[Cell]) -> list[str]:
    """Settings by their largest learnable gain, unknown ones last."""
    largest = {cell.setting: 0.0 for cell in cells}
    for cell in cells:
        gap = abs(cell.full.mean - cell.blind.mean)
        largest[cell.setting] = max(largest[cell.setting], gap if math.isfinite(gap) else 0.0)
    return sorted(largest, key=lambda setting: -largest[setting])


def largest_learnable_gains(cells: Sequence[Cell], most: int) -> list[Cell]:
    """At most `most` cells, in their order: whole settings with the largest learnable gains, at least one setting."""
    shown = []
    for setting in by_learnable_gain(cells):
        found = [cell for cell in cells if cell.setting == setting]
        if shown and len(shown) + len(found) > most:
            break
        shown += found
    return [cell for cell in cells if cell in shown]


def join_facts(facts: Iterable[Mapping]) -> dict[str, str]:
    """Each fact once, with its different values joined by commas."""
    found = collections.defaultdict(dict)
    for one in facts:
        for name, value in one.items():
            found[name][str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def _build_cell(measured: Sequence[Mapping]) -> Cell:
    """The cell of one setting and k from its measurements, one for each seed."""
    setting, k, metric = (measured[0][name] for name in ("setting", "k", "metric"))
    seeds = [one["seed"] for one in measured]
    where = setting if k is None else f"{setting}, k = {k}"
    for first, second in itertools.pairwise(measured):
        if first["seed"] == second["seed"]:
            raise ValueError(f"{where}: expected one measurement a seed, found two of seed {first['seed']}")
        if first["metric"] != second["metric"]:
            raise ValueError(f"{where}: expected one metric, found {first['metric']} and {second['metric']}")
    names = list(dict.fromkeys(name for one in measured for name in one["policies"]))
    rows = {name: _build_row(measured, name, metric) for name in names}
    blind, full = (SeedStatistics.of(_number(one.get(end)) for one in measured) for end in ("blind", "full"))
    cell = Cell(setting, k, metric, seeds, rows, "", blind, full, join_facts(one.get("facts", {}) for one in measured))
    return dataclasses.replace(cell, best_baseline=_best_baseline(cell))


def _build_row(measured: Sequence[Mapping], name: str, metric: str) -> Row:
    names = dict.fromkeys(m for one in measured for m in one["policies"].get(name, {}) if m not in _NOT_MEASURED)
    values = {m: _values(measured, name, m) for m in names}
    gains = {
        m: _gain(_values(measured, ROUTER, m), values[m], name, sign(m))
        for m in names
        if name != ROUTER and m not in ("validation", "seconds")
    }
    ends = (np.array([_number(one.get(end)) for one in measured]) for end in ("blind", "full"))
    share = share_over_seeds(np.array(_values(measured, name, metric)), *ends)
    settings = [one["policies"].get(name, {}).get("settings") or {} for one in measured]
    return Row({m: SeedStatistics.of(column) for m, column in values.items()}, gains, share, settings)


def _gain(router: list[float], other: list[float], name: str, better: int) -> PairedDifference:
    found = difference_over_seeds(better * np.array(router), better * np.array(other))
    return PairedDifference(ROUTER, name, found.mean, found.low, found.high, "seeds", found.n)


def _best_baseline(cell: Cell) -> str:
    """The baseline with the best mean on validation, among those with a validation score for every seed."""
    scores = {}
    for name in baselines(cell):
        validation = cell.rows[name].metrics.get("validation")
        if validation is not None and not np.isnan(validation.values).any():
            scores[name] = sign(cell.metric) * validation.mean
    return max(scores, key=scores.__getitem__, default="")


def _values(measured: Sequence[Mapping], name: str, metric: str) -> list[float]:
    """A metric of a policy for each seed, NaN where it was not measured."""
    return [_number(one["policies"].get(name, {}).get(metric)) for one in measured]


def _number(value) -> float:
    return math.nan if value is None else float(value)
