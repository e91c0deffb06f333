"""Columns and rows of result tables as text: the policies of a group, and a summary of all groups.

Numbers that were not measured are shown as a dash. In an ablation, the rows are variants: the router without one part.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from prouter_jax.evaluation.protocol.definition import ABLATION
from prouter_jax.evaluation.protocol.table import (
    ACCEPTED,
    MIN_LEARNABLE_GAIN,
    ORACLE,
    Group,
    Table,
    baselines,
    learnable_gain,
    sign,
)
from prouter_jax.io.display import DASH, number, percent
from prouter_jax.metrics import Interval
from prouter_jax.report.names import is_significant
from prouter_jax.report.text import mean_text
from prouter_jax.report.types import ROUTER, PairedDifference, SeedStatistics

Rows = list[list[str]]
PUBLISHED = "in the paper"  # fact of a group: the number of arXiv 2511.16883 beside ours
_METRIC_NAMES = {
    "top2": "top 2",
    "log_loss": "log loss",
    "calibration": "ECE",
    "calibration_by_chance": "ECE by chance",
    "worse": "users worse",
    "worse_by_chance": "users worse by chance",
    "worse_significantly": "users worse significantly",
    "worse_accuracy": "users worse in accuracy",
}
_BESIDE = ("log_loss", "calibration", "slope")  # metrics beside the score


def policy_table(group: Group, limit: int | None = None) -> tuple[list[str], Rows]:
    """Columns and rows of the policies of a group, best first.

    Args:
      limit: number of rows, None for all. The router, the best baseline and the oracle always have a row; the best of
        the others have the rest.
    """
    measured = dict.fromkeys(m for row in group.rows.values() for m in row.metrics if m != group.metric)
    beside = [metric for metric in _BESIDE if metric in measured]
    others = [metric for metric in measured if metric not in beside]
    names = by_score(group)
    always = {ROUTER, ORACLE, group.best_baseline}
    free = [name for name in names if name not in always]
    if limit is not None:
        free = free[: max(0, limit - (len(names) - len(free)))]
    shown = [name for name in names if name in always or name in free]
    columns = ["policy", metric_name(group.metric), *map(metric_name, beside), "router's gain", "share recovered",
               *map(metric_name, others)]  # fmt: skip
    return _without_empty(columns, [_policy_row(group, name, beside, others) for name in shown])


def summary_table(table: Table) -> tuple[list[str], Rows]:
    """Columns and rows of a table: a row for each group, or in an ablation for each variant of the router."""
    if table.kind == ABLATION:
        columns = ["setting", "k", "router", "changed", "score", "router's gain", "verdict", "accepted",
                   "metric", "seeds"]  # fmt: skip
        return _without_empty(
            columns, [_variant_row(group, name) for group in table.groups for name in baselines(group)]
        )
    columns = ["setting", "k", "router", *map(metric_name, _BESIDE), "best tuned baseline", "router's gain", "verdict",
               "margin", "of fully trained", PUBLISHED, "learnable gain", "gain over blind", "share recovered",
               "users worse", "oracle", "metric", "seeds"]  # fmt: skip
    return _without_empty(columns, [_group_row(group) for group in table.groups])


def by_score(group: Group) -> list[str]:
    """All policies by the group's metric, best first; policies without a score are last, equal scores are by name."""
    mean = {name: sign(group.metric) * score(group, name).mean for name in group.rows}
    return sorted(mean, key=lambda name: (-mean[name] if math.isfinite(mean[name]) else math.inf, name))


def score(group: Group, policy: str) -> SeedStatistics:
    """Statistics over seeds of the group's metric for a policy; NaN if it was not measured."""
    row = group.rows.get(policy)
    return row.metrics[group.metric] if row and group.metric in row.metrics else SeedStatistics(math.nan, 0.0, [])


def group_name(group: Group) -> str:
    """The setting with its k, such as `choices, k = 30`."""
    return group.setting if group.k is None else f"{group.setting}, k = {group.k}"


def metric_name(metric: str) -> str:
    """The display name of a metric."""
    return _METRIC_NAMES.get(metric, metric)


def gain_text(gain: PairedDifference | None) -> str:
    """`+0.0012 (+0.0004 to +0.0020)`; the mean alone without an interval."""
    if gain is None or not math.isfinite(gain.mean):
        return DASH
    return number(gain.mean, sign=True) + _interval_text(gain, lambda value: number(value, sign=True))


def _group_row(group: Group) -> list[str]:
    """The summary of a group: the router against the best baseline, the blind score and the oracle."""
    best = group.rows.get(group.best_baseline)
    gain = best.gains.get(group.metric) if best else None
    named = f"{number(score(group, group.best_baseline).mean)} {group.best_baseline}" if best else DASH
    over_blind = sign(group.metric) * (score(group, ROUTER).mean - group.blind.mean)
    beside = [DASH if metric == group.metric else _cell(group, ROUTER, metric) for metric in _BESIDE]
    return [*_setting_and_k(group), number(score(group, ROUTER).mean), *beside, named, gain_text(gain),
            _significance(gain), *_as_published(group), number(learnable_gain(group), sign=True),
            number(over_blind, sign=True), _share(group, ROUTER), _users_worse(group),
            number(score(group, ORACLE).mean), *_metric_and_seeds(group)]  # fmt: skip


def _variant_row(group: Group, name: str) -> list[str]:
    """The router against one variant of an ablation."""
    gain = group.rows[name].gains.get(group.metric)
    router, changed = (number(score(group, policy).mean) for policy in (ROUTER, name))
    return [
        *_setting_and_k(group),
        router,
        name,
        changed,
        gain_text(gain),
        _significance(gain),
        _accepted(group),
        *_metric_and_seeds(group),
    ]


def _policy_row(group: Group, name: str, beside: Iterable[str], others: Iterable[str]) -> list[str]:
    first, rest = ([_cell(group, name, metric) for metric in metrics] for metrics in (beside, others))
    gain = gain_text(group.rows[name].gains.get(group.metric)) if name != ORACLE else DASH
    return [name, mean_text(score(group, name)), *first, gain, _share(group, name), *rest]


def _cell(group: Group, policy: str, metric: str) -> str:
    """The mean of a metric of a policy; a dash where it was not measured."""
    found = group.rows[policy].metrics.get(metric) if policy in group.rows else None
    if found is None or not math.isfinite(found.mean):
        return DASH
    if metric.startswith("worse"):
        return percent(found.mean)
    return f"{found.mean:.1f}" if metric == "seconds" else number(found.mean)


def _as_published(group: Group) -> list[str]:
    """Margin over the strongest baseline, share of the full score, and the paper's number, where there is one."""
    if PUBLISHED not in group.facts:
        return [DASH] * 3
    gains = {name: group.rows[name].gains[group.metric].mean for name in baselines(group)}
    margins = [gain / abs(score(group, name).mean) for name, gain in gains.items()]
    of_full = score(group, ROUTER).mean / group.full.mean
    known = [percent(min(margins, default=math.nan)), DASH] if math.isnan(of_full) else [DASH, percent(of_full)]
    return [*known, group.facts[PUBLISHED]]


def _users_worse(group: Group) -> str:
    """`12.3 % (9.1 % by chance, 2.0 % significantly)`."""
    names = ("worse", "worse_by_chance", "worse_significantly")
    worse, by_chance, significantly = (_cell(group, ROUTER, metric) for metric in names)
    return worse if worse == DASH else f"{worse} ({by_chance} by chance, {significantly} significantly)"


def _accepted(group: Group) -> str:
    """In how many seeds the gate accepted what gradients trained: `3 of 5`."""
    found = group.rows[ROUTER].metrics.get(ACCEPTED)
    return DASH if found is None else f"{round(sum(found.values))} of {len(found.values)}"


def _setting_and_k(group: Group) -> list[str]:
    return [group.setting, DASH if group.k is None else str(group.k)]


def _metric_and_seeds(group: Group) -> list[str]:
    return [metric_name(group.metric), str(len(group.seeds))]


def _share(group: Group, policy: str) -> str:
    """`81.0 % (75.0 % to 87.0 %)`, where the learnable gain is large enough."""
    share = group.rows[policy].share
    return percent(share.mean) + _interval_text(share, percent) if learnable_gain(group) > MIN_LEARNABLE_GAIN else DASH


def _significance(gain: PairedDifference | None) -> str:
    """Whether the 95 % interval of a gain lies above 0 ("gain"), below 0 ("loss") or contains 0 ("unclear")."""
    if gain is None or not math.isfinite(gain.high - gain.low):
        return DASH
    if not is_significant(gain):
        return "unclear"
    return "gain" if gain.low > 0 else "loss"


def _interval_text(value: PairedDifference | Interval, form: Callable[[float], str]) -> str:
    return f" ({form(value.low)} to {form(value.high)})" if math.isfinite(value.high - value.low) else ""


def _without_empty(columns: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """Leaves out columns that are a dash in every row."""
    kept = [index for index in range(len(columns)) if any(row[index] != DASH for row in rows)]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]
