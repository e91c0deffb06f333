"""Result tables of the protocol: measurements of single seeds are combined to means, gains and intervals over seeds.

A table has a group of rows for each setting (a data set with a kind of split, such as "choices") and each k (number of
decisions in a new user's history). A group has a row for each policy: the router and the baselines, and the oracle.
The blind score of a group is the router's score without the information that is studied: the user's identity, or the
new LLMs. The full score is the best score with all of that information. Their difference is the learnable gain.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from prouter_jax.metrics import Interval, difference_over_seeds, mean_over_clusters, share_over_seeds
from prouter_jax.report.types import ROUTER, PairedDifference, SeedStatistics

ORACLE = "oracle"
ACCEPTED = "accepted"  # metric of the router: 1 if the gate accepted what gradients trained, else 0
LESS_IS_BETTER = ("regret", "log_loss", "calibration", "seconds", "worse", "worse_significantly", "worse_accuracy")
MIN_LEARNABLE_GAIN = 0.02  # of a metric; below it the share recovered is mostly noise
_NOT_MEASURED = ("settings",)
_WITHOUT_GAIN = ("validation", "seconds", "slope", "calibration_by_chance")


@dataclasses.dataclass(frozen=True)
class Row:
    """Results of one policy in one setting at one k.

    Attributes:
      metrics: statistics over seeds, by metric; "validation" is the group's metric on validation decisions.
      gains: the router minus this policy on the same seeds, by metric, with the sign turned where a lower metric is
        better: a gain above 0 always means that the router is better.
      share: the share recovered (score - blind) / (full - blind) with its interval over seeds; NaN where not measured.
      settings: the tuned settings of each seed.
    """

    metrics: Mapping[str, SeedStatistics]
    gains: Mapping[str, PairedDifference]
    share: Interval
    settings: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Group:
    """Results of all policies in one setting at one k.

    Attributes:
      k: number of decisions in the history of each new user, or of decisions in which a new LLM was a candidate; None
        if neither users nor LLMs are new.
      metric: the metric by which policies are compared, one of `definition.METRICS`.
      rows: the results by policy.
      best_baseline: name of the baseline with the best validation metric; "" if none has one for every seed.
      blind, full: the blind score and the full score (see the module), in `metric`.
      facts: provenance, such as the number of test decisions.
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
class RequirementResult:
    """The result of checking a requirement.

    Attributes:
      text: the requirement in words.
      aim: whether the requirement may be missed.
      status: "met", "missed by x" or "not measured".
      margin: how far the measured number exceeds the required one; below 0 the requirement is missed.
      found: the number with the smallest margin and its group; "" if not measured.
    """

    text: str
    aim: bool
    status: str
    margin: float
    found: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A measured table.

    Attributes:
      name, title, caption, kind: see `definition.Definition`.
      requirements: the results of its requirements.
      facts: provenance: versions, machine, date, commit.
      seconds: time in which its units (pieces of work, one seed each) were measured.
      failed: keys of the units without a result.
    """

    name: str
    title: str
    caption: str
    kind: str
    groups: Sequence[Group]
    requirements: Sequence[RequirementResult]
    facts: Mapping[str, str]
    seconds: float
    failed: Sequence[str] = ()


def build_groups(measurements: Iterable[Mapping]) -> list[Group]:
    """Groups the measurements by setting and k: settings in the order of the measurements, k and seeds rising.

    Raises:
      ValueError: naming the setting, if two measurements have the same seed or its metrics differ.
    """
    groups = collections.defaultdict(list)
    for one in measurements:
        groups[one["setting"], one["k"]].append(one)
    order = list(dict.fromkeys(setting for setting, _ in groups))
    keys = sorted(groups, key=lambda key: (order.index(key[0]), -1 if key[1] is None else key[1]))
    return [_build_group(sorted(groups[key], key=lambda one: one["seed"])) for key in keys]


def baselines(group: Group) -> list[str]:
    """All policies but the router and the oracle."""
    return [name for name in group.rows if name not in (ROUTER, ORACLE)]


def sign(metric: str) -> int:
    """1 if a higher metric is better, -1 if a lower one is."""
    return -1 if metric in LESS_IS_BETTER else 1


def learnable_gain(group: Group) -> float:
    """How much better the full score is than the blind score; NaN if they were not measured."""
    return sign(group.metric) * (group.full.mean - group.blind.mean)


def by_learnable_gain(groups: Sequence[Group]) -> list[str]:
    """Settings ordered by their largest learnable gain; those without one are last."""
    largest = {group.setting: 0.0 for group in groups}
    for group in groups:
        gap = abs(group.full.mean - group.blind.mean)
        largest[group.setting] = max(largest[group.setting], gap if math.isfinite(gap) else 0.0)
    return sorted(largest, key=lambda setting: -largest[setting])


def with_largest_learnable_gains(groups: Sequence[Group], limit: int) -> list[Group]:
    """The groups of the settings with the largest learnable gains, in their order.

    Settings are taken whole, the first one always, the others while there are at most `limit` groups.
    """
    shown = []
    for setting in by_learnable_gain(groups):
        found = [group for group in groups if group.setting == setting]
        if shown and len(shown) + len(found) > limit:
            break
        shown += found
    return [group for group in groups if group in shown]


def join_facts(facts: Iterable[Mapping]) -> dict[str, str]:
    """Each fact once, with its different values joined by commas."""
    found = collections.defaultdict(dict)
    for one in facts:
        for name, value in one.items():
            found[name][str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def _build_group(measured: Sequence[Mapping]) -> Group:
    """The group of one setting and k from its measurements, one for each seed."""
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
    group = Group(
        setting, k, metric, seeds, rows, "", blind, full, join_facts(one.get("facts", {}) for one in measured)
    )
    return dataclasses.replace(group, best_baseline=_best_baseline(group))


def _build_row(measured: Sequence[Mapping], name: str, metric: str) -> Row:
    names = dict.fromkeys(m for one in measured for m in one["policies"].get(name, {}) if m not in _NOT_MEASURED)
    values = {m: _values(measured, name, m) for m in names}
    gains = {m: _gain(measured, name, m) for m in names if name != ROUTER and m not in _WITHOUT_GAIN}
    ends = (np.array([_number(one.get(end)) for one in measured]) for end in ("blind", "full"))
    share = share_over_seeds(np.array(_values(measured, name, metric)), *ends)
    settings = [one["policies"].get(name, {}).get("settings") or {} for one in measured]
    return Row({m: SeedStatistics.of(column) for m, column in values.items()}, gains, share, settings)


def _gain(measured: Sequence[Mapping], name: str, metric: str) -> PairedDifference:
    """The router's gain with an interval over seeds, or over users where the measurements have their numbers."""
    if all("by_user" in one for one in measured):
        found, over = _gain_over_users(measured, name, metric), "users"
    else:
        router, other = (sign(metric) * np.array(_values(measured, policy, metric)) for policy in (ROUTER, name))
        found, over = difference_over_seeds(router, other), "seeds"
    return PairedDifference(ROUTER, name, found.mean, found.low, found.high, over, found.n)


def _gain_over_users(measured: Sequence[Mapping], name: str, metric: str) -> Interval:
    """The mean gain over users and seeds; the seeds in which the same user is tested are one cluster."""
    pairs = [[one["by_user"][policy][metric] for policy in (ROUTER, name)] for one in measured]
    users = [user for router, _ in pairs for user in router]
    gains = [_number(router[user]) - _number(other[user]) for router, other in pairs for user in router]
    return mean_over_clusters(sign(metric) * np.array(gains), np.array(users))


def _best_baseline(group: Group) -> str:
    """The baseline with the best mean on validation, among those with a validation score for every seed."""
    scores = {}
    for name in baselines(group):
        validation = group.rows[name].metrics.get("validation")
        if validation is not None and not np.isnan(validation.values).any():
            scores[name] = sign(group.metric) * validation.mean
    return max(scores, key=scores.__getitem__, default="")


def _values(measured: Sequence[Mapping], name: str, metric: str) -> list[float]:
    """A metric of a policy for each seed, NaN where it was not measured."""
    return [_number(one["policies"].get(name, {}).get(metric)) for one in measured]


def _number(value) -> float:
    return math.nan if value is None else float(value)
