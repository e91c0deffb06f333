"""Builds the checks of requirements, such as "the router's gain over every baseline is at least 0".

A check takes the groups of a result table (one for each setting and k) and returns the finding with the smallest
margin. The margin is NaN if a number that the requirement needs was not measured: missing numbers never meet it.
Baselines without any value of the metric are left out, for example the log loss of a baseline without probabilities.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from prouter_jax.evaluation.protocol.definition import Finding
from prouter_jax.evaluation.protocol.rows import group_name
from prouter_jax.evaluation.protocol.table import Group, baselines, learnable_gain, sign
from prouter_jax.report.types import ROUTER, PairedDifference

Check = Callable[[Sequence[Group], str], Finding]
Where = Callable[[Group], bool]
Numbers = Iterable[tuple[float, float]]  # margins, each with the number that has it
EVERY, BEST = "every baseline", "best baseline"


def everywhere(_: Group) -> bool:
    """All groups."""
    return True


def settings(*names: str, least_k: int | None = None) -> Where:
    """The groups of these settings; with `least_k` those with at least so many known decisions."""
    return lambda group: group.setting in names and (least_k is None or (group.k is not None and group.k >= least_k))


def learnable_gain_above(gap: float) -> Where:
    """The groups whose learnable gain, full score minus blind score, exceeds `gap`."""
    return lambda group: learnable_gain(group) > gap


def learnable_gain_at_most(gap: float) -> Where:
    """The groups whose learnable gain is at most `gap`."""
    return lambda group: learnable_gain(group) <= gap


def gain(
    at_least: float,
    against: str | Collection[str] = EVERY,
    *,
    low: bool = False,
    relative: bool = False,
    ks: Collection[int] = (),
    where: Where = everywhere,
) -> Check:
    """The router's mean gain over baselines is at least `at_least`.

    Args:
      against: EVERY, BEST (chosen on validation), the name of a policy, or several names.
      low: compare the lower end of the 95 % interval, not the mean.
      relative: the gain as a share of the baseline's mean, 0.05 for 5 %.
      ks: only groups with one of these k, which every setting must have; every k by default.
    """

    def numbers(group: Group, metric: str) -> Numbers:
        for name in _baselines_named(group, against):
            found = group.rows[name].gains.get(metric) if name in group.rows else None
            if found is not None and (found.n or against != EVERY):
                number = _end(found, low) / (abs(_mean(group, name, metric)) if relative else 1)
                yield number - at_least, number
            elif against != EVERY:
                yield math.nan, math.nan

    return _check(numbers, ks, where)


def interval_above(limit: float = 0.0, against: str = EVERY, *, ks: Collection[int] = (), where=everywhere) -> Check:
    """The whole 95 % interval of the router's gain lies above `limit`."""
    return gain(math.nextafter(limit, math.inf), against, low=True, ks=ks, where=where)


def score(at_least: float | Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """A policy's mean score is at least `at_least` (at most, if lower is better), which may differ by k."""

    def numbers(group: Group, metric: str) -> Numbers:
        number = _mean(group, policy, metric)
        yield sign(metric) * (number - _bound(at_least, group)), number

    return _check(numbers, at_least if isinstance(at_least, Mapping) else (), where)


def share(at_least: float | Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """The share recovered, (score - blind) / (full - blind), is at least `at_least`, which may differ by k."""

    def numbers(group: Group, _: str) -> Numbers:
        number = group.rows[policy].share.mean if policy in group.rows else math.nan
        yield number - _bound(at_least, group), number

    return _check(numbers, at_least if isinstance(at_least, Mapping) else (), where)


def ratio(at_least: Mapping[int, float], policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """A policy's mean score divided by the full score, as in PersonalizedRouter, is at least `at_least` at each k."""

    def numbers(group: Group, metric: str) -> Numbers:
        number = _mean(group, policy, metric) / group.full.mean
        yield number - _bound(at_least, group), number

    return _check(numbers, at_least, where)


def within(low: float, high: float, policy: str = ROUTER, *, where: Where = everywhere) -> Check:
    """A policy's mean of the metric lies between `low` and `high`."""

    def numbers(group: Group, metric: str) -> Numbers:
        number = _mean(group, policy, metric)
        yield min(number - low, high - number), number

    return _check(numbers, (), where)


def gain_over_setting(at_least: float, setting: str, *, ks: Collection[int] = (), where: Where = everywhere) -> Check:
    """The router's mean gain over its own score in another setting at the same k is at least `at_least`."""

    def check(groups: Sequence[Group], metric: str) -> Finding:
        others = {group.k: group for group in groups if group.setting == setting}

        def numbers(group: Group, metric: str) -> Numbers:
            number = _gain_over(others.get(group.k), group, metric)
            yield number - at_least, number

        return _check(numbers, ks, where)(groups, metric)

    return check


def never_falling(*, where: Where = everywhere) -> Check:
    """In each setting the router's mean score at each k is not worse than at the next smaller k."""

    def check(groups: Sequence[Group], metric: str) -> Finding:
        def numbers(group: Group, metric: str) -> Numbers:
            smaller = [one for one in groups if one.setting == group.setting and (one.k or 0) < (group.k or 0)]
            number = _gain_over(max(smaller, key=lambda one: one.k or 0, default=group), group, metric)
            yield number, number

        return _check(numbers, (), where)(groups, metric)

    return check


def gain_over_blind(at_least: float, *, ks: Collection[int] = (), where: Where = everywhere) -> Check:
    """The router's gain over the blind score is at least `at_least`; -0.003 allows a loss of 0.003."""

    def numbers(group: Group, _: str) -> Numbers:
        number = sign(group.metric) * (_mean(group, ROUTER, group.metric) - group.blind.mean)
        yield number - at_least, number

    return _check(numbers, ks, where)


def _check(numbers: Callable[[Group, str], Numbers], ks: Collection[int], where: Where) -> Check:
    """Builds a check of the smallest margin; NaN if a group has none or an unknown one, or a setting lacks a k.

    Args:
      numbers: yields the margins of a group for a metric, each with its number.
    """
    unknown = Finding(math.nan, math.nan, "")

    def check(groups: Sequence[Group], metric: str) -> Finding:
        selected = [group for group in groups if where(group)]
        found = {(group.setting, group.k) for group in selected}
        if any((setting, k) not in found for setting, _ in found for k in ks):
            return unknown
        chosen = [group for group in selected if not ks or group.k in ks]
        findings = [
            Finding(margin, number, group_name(group))
            for group in chosen
            for margin, number in [*numbers(group, metric or group.metric)] or [unknown[:2]]
        ]
        if any(math.isnan(one.margin) for one in findings):
            return unknown
        return min(findings, key=lambda one: one.margin, default=unknown)

    return check


def _baselines_named(group: Group, against: str | Collection[str]) -> list[str]:
    if not isinstance(against, str):
        return list(against)
    return {EVERY: baselines(group), BEST: [group.best_baseline]}.get(against, [against])


def _end(found: PairedDifference, low: bool) -> float:
    return found.low if low else found.mean


def _mean(group: Group, policy: str, metric: str) -> float:
    row = group.rows.get(policy)
    return row.metrics[metric].mean if row and metric in row.metrics else math.nan


def _gain_over(before: Group | None, group: Group, metric: str) -> float:
    past = math.nan if before is None else _mean(before, ROUTER, metric)
    return sign(metric) * (_mean(group, ROUTER, metric) - past)


def _bound(at_least: float | Mapping[int, float], group: Group) -> float:
    if not isinstance(at_least, Mapping):
        return at_least
    return at_least[group.k] if group.k is not None else math.nan
