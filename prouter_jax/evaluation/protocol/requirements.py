"""Checks of requirements: each returns the finding with the smallest margin among the cells of a table.

The margin is NaN if a number that the requirement needs was not measured, so that it is never met by missing numbers.
Only baselines without any value of the metric are left out, such as the log loss of one without probabilities.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from prouter_jax.evaluation.protocol.definition import Finding
from prouter_jax.evaluation.protocol.report import cell_name
from prouter_jax.evaluation.protocol.table import Cell, baselines, learnable_gain, sign
from prouter_jax.report.types import ROUTER, PairedDifference

Check = Callable[[Sequence[Cell], str], Finding]
Where = Callable[[Cell], bool]
Numbers = Iterable[tuple[float, float]]  # margins, each with the number that has it
EVERY, BEST = "every baseline", "best baseline"


def everywhere(_: Cell) -> bool:
    """All cells."""
    return True


def settings(*names: str) -> Where:
    """The cells of these settings."""
    return lambda cell: cell.setting in names


def learnable_gain_above(gap: float) -> Where:
    """The cells whose learnable gain, fully trained score minus blind score, exceeds `gap`."""
    return lambda cell: learnable_gain(cell) > gap


def learnable_gain_at_most(gap: float) -> Where:
    """The cells whose learnable gain is at most `gap`."""
    return lambda cell: learnable_gain(cell) <= gap


def gain(
    at_least: float,
    against: str = EVERY,
    *,
    low: bool = False,
    relative: bool = False,
    ks: Collection[int] = (),
    where: Where = everywhere,
) -> Check:
    """The router's mean gain over baselines is at least `at_least`.

    Args:
      against: EVERY, BEST (chosen on validation), or the name of a policy.
      low: compare the lower end of the 95 % interval, not the mean.
      relative: the gain as a share of the baseline's mean, 0.05 for 5 %.
      ks: cells of these k, each of which must exist; every k by default.
      where: selects cells.
    """

    def numbers(cell: Cell, metric: str) -> Numbers:
        for name in _named(cell, against):
            found = cell.rows[name].gains.get(metric) if name in cell.rows else None
            if found is not None and (found.n or against != EVERY):
                number = _end(found, low) / (abs(_mean(cell, name, metric)) if relative else 1)
                yield number - at_least, number
            elif against != EVERY:
                yield math.nan, math.nan

    return _check(numbers, ks, where)


def interval_above(limit: float = 0.0, against: str = EVERY, *, ks: Collection[int] = (), where=everywhere) -> Check:
    """The whole 95 % interval of the router's gain lies above `limit`."""
    return gain(math.nextafter(limit, math.inf), against, low=True, ks=ks, where=where)


def score(at_least: float | Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """A policy's mean score is at least `at_least` (at most, if lower is better), which may differ by k."""

    def numbers(cell: Cell, metric: str) -> Numbers:
        number = _mean(cell, policy, metric)
        yield sign(metric) * (number - _bound(at_least, cell)), number

    return _check(numbers, at_least if isinstance(at_least, Mapping) else (), where)


def share(at_least: float | Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """The share recovered is at least `at_least`, which may differ by k."""

    def numbers(cell: Cell, _: str) -> Numbers:
        number = cell.rows[policy].share.mean if policy in cell.rows else math.nan
        yield number - _bound(at_least, cell), number

    return _check(numbers, at_least if isinstance(at_least, Mapping) else (), where)


def ratio(at_least: Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """A policy's mean score divided by the fully trained score, the paper's ratio, is at least `at_least` at each k."""

    def numbers(cell: Cell, metric: str) -> Numbers:
        number = _mean(cell, policy, metric) / cell.full.mean
        yield number - _bound(at_least, cell), number

    return _check(numbers, at_least, where)


def gain_over_blind(at_least: float, *, ks: Collection[int] = (), where: Where = everywhere) -> Check:
    """The router's gain over the blind score is at least `at_least`; -0.003 allows a loss of 0.003."""

    def numbers(cell: Cell, _: str) -> Numbers:
        number = sign(cell.metric) * (_mean(cell, ROUTER, cell.metric) - cell.blind.mean)
        yield number - at_least, number

    return _check(numbers, ks, where)


def _check(numbers: Callable[[Cell, str], Numbers], ks: Collection[int], where: Where) -> Check:
    """Builds a check of the smallest margin; NaN if a cell has none or an unknown one, or a setting lacks a k.

    Args:
      numbers: margins of a cell for a metric, each with its number.
    """
    unknown = Finding(math.nan, math.nan, "")

    def check(cells: Sequence[Cell], metric: str) -> Finding:
        selected = [cell for cell in cells if where(cell)]
        found = {(cell.setting, cell.k) for cell in selected}
        if any((setting, k) not in found for setting, _ in found for k in ks):
            return unknown
        chosen = [cell for cell in selected if not ks or cell.k in ks]
        findings = [
            Finding(margin, number, cell_name(cell))
            for cell in chosen
            for margin, number in [*numbers(cell, metric or cell.metric)] or [unknown[:2]]
        ]
        if any(math.isnan(one.margin) for one in findings):
            return unknown
        return min(findings, key=lambda one: one.margin, default=unknown)

    return check


def _named(cell: Cell, against: str) -> list[str]:
    return {EVERY: baselines(cell), BEST: [cell.best_baseline]}.get(against, [against])


def _end(found: PairedDifference, low: bool) -> float:
    return found.low if low else found.mean


def _mean(cell: Cell, policy: str, metric: str) -> float:
    row = cell.rows.get(policy)
    return row.metrics[metric].mean if row and metric in row.metrics else math.nan


def _bound(at_least: float | Mapping[int, float], cell: Cell) -> float:
    if not isinstance(at_least, Mapping):
        return at_least
    return at_least[cell.k] if cell.k is not None else math.nan
