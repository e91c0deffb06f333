"""Renders measured result tables as Markdown: one file a table, and a results section for a document.

Numbers that were not measured are shown as a dash. In an ablation, the rows are variants: the router without one part.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

from prouter_jax.evaluation.protocol.definition import ABLATION, Finding
from prouter_jax.evaluation.protocol.storage import read_tables
from prouter_jax.evaluation.protocol.table import (
    ACCEPTED,
    MIN_LEARNABLE_GAIN,
    ORACLE,
    Group,
    Table,
    baselines,
    join_facts,
    learnable_gain,
    sign,
    with_largest_learnable_gains,
)
from prouter_jax.io.display import DASH, escape_markdown, markdown_table, number, percent, write_section
from prouter_jax.metrics import Interval
from prouter_jax.report.text import is_significant, mean_text
from prouter_jax.report.types import ROUTER, PairedDifference, SeedStatistics

MET, NOT_MEASURED = "met", "not measured"
HOW_TO_READ = (
    "A policy is a rule that chooses an LLM: the router or a baseline. The router's gain is its score minus the score "
    "of a policy on the same seeds and test decisions, with a 95 % interval. A positive gain always means that the "
    "router is better, also for metrics where lower is better. The best tuned baseline is chosen on validation. k is "
    "the number of known decisions of a new user or about a new LLM. Blind score: the router's score without them. "
    "Full score: the best score with all of them. Learnable gain: full score minus blind score. Gain over blind: the "
    "router's score minus the blind score. Share recovered: 0 % is the blind score, 100 % the full score; it is "
    f"shown where the learnable gain is more than {MIN_LEARNABLE_GAIN}."
)
Rows = list[list[str]]
_MAX_POLICIES = 12  # rows of a group in tables/NAME.md; the JSON and the page have all
_MAX_GROUPS = 16  # groups of a table in a results section
_METRIC_NAMES = {"top2": "top 2", "log_loss": "log loss"}


def to_markdown(table: Table) -> str:
    """The text of tables/NAME.md: requirements, a summary, the best policies of each group, and facts."""
    parts = [f"# {escape_markdown(table.title)}", escape_markdown(table.caption)]
    if table.requirements:
        rows = [
            ["aim" if one.aim else "required", one.text, one.found or DASH, one.status] for one in table.requirements
        ]
        parts += ["## Requirements", markdown_table(["", "requirement", "found", "result"], rows)]
    parts += _summary_and_groups(table)
    parts += ["## Facts", markdown_table(["fact", "value"], facts_rows(table))]
    return "\n\n".join(parts) + "\n"


def write_results(document: str | os.PathLike, workdir: pathlib.Path) -> None:
    """Writes the results of WORKDIR/tables/*.json into the section `results` of a Markdown document.

    The section lies between two marker comments, see `write_section`.

    Raises:
      ValueError: naming the file, if a marker is missing or there is no valid table.
    """
    tables = read_tables(workdir)
    if not tables:
        raise ValueError(f"{workdir}/tables: expected tables, found none; measure them first")
    write_section(document, "results", results_section(tables))


def results_section(tables: Sequence[Table]) -> str:
    """Markdown: a summary of each table, the missed requirements, and the ablated parts without a significant gain."""
    parts = [_provenance(tables)]
    for table in tables:
        parts += _table_summary(table)
    parts += ["### Not reached", _bullets(_missed_requirements(tables)) or "Every requirement and aim is met."]
    useless = [
        f"{table.title}, {setting}: {part}, {gain}"
        for table in tables
        for setting, part, gain in parts_without_gain(table)
    ]
    if useless:
        parts += ["### What did not help", "Parts of the router without a significant gain.", _bullets(useless)]
    return "\n\n".join(parts)


def policy_table(group: Group, limit: int | None = None) -> tuple[list[str], Rows]:
    """Columns and rows of the policies of a group, best first.

    Args:
      limit: number of rows, None for all. The router, the best baseline and the oracle always have a row; the best of
        the others have the rest.
    """
    others = dict.fromkeys(m for row in group.rows.values() for m in row.metrics if m != group.metric)
    names = by_score(group)
    always = {ROUTER, ORACLE, group.best_baseline}
    free = [name for name in names if name not in always]
    if limit is not None:
        free = free[: max(0, limit - (len(names) - len(free)))]
    shown = [name for name in names if name in always or name in free]
    columns = ["policy", metric_name(group.metric), "router's gain", "share recovered", *map(metric_name, others)]
    return _without_empty(columns, [_policy_row(group, name, others) for name in shown])


def summary_table(table: Table) -> tuple[list[str], Rows]:
    """Columns and rows of a table: a row for each group, or in an ablation for each variant of the router."""
    if table.kind == ABLATION:
        columns = ["setting", "k", "router", "changed", "score", "router's gain", "verdict", "accepted",
                   "metric", "seeds"]  # fmt: skip
        return _without_empty(
            columns, [_variant_row(group, name) for group in table.groups for name in baselines(group)]
        )
    columns = ["setting", "k", "router", "best tuned baseline", "router's gain", "verdict", "learnable gain",
               "gain over blind", "share recovered", "oracle", "metric", "seeds"]  # fmt: skip
    return _without_empty(columns, [_group_row(group) for group in table.groups])


def parts_without_gain(table: Table) -> Rows:
    """Setting, variant and gain of the variants of an ablation over which the router's gain is not significant."""
    gains = [
        (group, name, group.rows[name].gains.get(group.metric)) for group in table.groups for name in baselines(group)
    ]
    return [
        [group_name(group), name, gain_text(gain)]
        for group, name, gain in gains
        if table.kind == ABLATION and gain is not None and math.isfinite(gain.mean) and not gain.low > 0
    ]


def facts_rows(table: Table) -> Rows:
    """Pairs of name and value: provenance, time, and the units (pieces of work, one seed each) that failed."""
    failed = [["units without a result", ", ".join(table.failed)]] if table.failed else []
    return [*map(list, table.facts.items()), ["time", duration_text(table.seconds)], *failed]


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


def missed_text(margin: float) -> str:
    """`missed by 0.0012`, for the positive amount by which a requirement is missed."""
    # Numbers have four decimals, and `missed by 0.0000` would be wrong.
    return f"missed by {number(margin)}" if margin >= 0.00005 else "missed by less than 0.0001"


def finding_text(finding: Finding) -> str:
    """The number with the smallest margin and its group: `0.9510 in choices, k = 30`."""
    return f"{number(finding.value)} in {finding.where}"


def duration_text(seconds: float) -> str:
    """`48 s`, `12 min`, `1 h 40 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _summary_and_groups(table: Table) -> Iterable[str]:
    if not table.groups:
        yield "Nothing was measured."
        return
    yield "## Summary"
    yield HOW_TO_READ
    yield markdown_table(*summary_table(table))
    for group in table.groups:
        yield f"## {escape_markdown(group_name(group))}"
        if len(group.rows) > _MAX_POLICIES:
            yield f"The best {_MAX_POLICIES} of {len(group.rows)} policies."
        yield markdown_table(*policy_table(group, _MAX_POLICIES))


def _provenance(tables: Sequence[Table]) -> str:
    # A fact may be a comma-separated text, such as several commits or days.
    parts = ((name, part) for table in tables for name, value in table.facts.items() for part in value.split(", "))
    facts = join_facts({name: part} for name, part in parts)
    text = "; ".join(f"{name} {value}" for name, value in facts.items())
    total = duration_text(sum(table.seconds for table in tables))
    return escape_markdown(f"{len(tables)} tables, {total} of computing ({text}). {HOW_TO_READ}")


def _table_summary(table: Table) -> Iterable[str]:
    yield f"### {escape_markdown(table.title)}"
    yield escape_markdown(" ".join(filter(None, [table.caption, *_requirement_counts(table)])))
    shown = with_largest_learnable_gains(table.groups, _MAX_GROUPS)
    if shown:
        yield markdown_table(*summary_table(dataclasses.replace(table, groups=shown)))
    if len(shown) < len(table.groups):
        yield (
            f"{len(shown)} of {len(table.groups)} rows: the settings with the largest learnable gain. Requirements "
            f"apply to all rows, which are in tables/{table.name}.md of the workdir."
        )


def _requirement_counts(table: Table) -> Iterable[str]:
    """`Required: 2 of 3 met.`"""
    for aim, name in ((False, "Required"), (True, "Aims")):
        results = [one for one in table.requirements if one.aim == aim]
        if results:
            yield f"{name}: {sum(one.status == MET for one in results)} of {len(results)} met."
    if table.failed:
        yield f"Units without a result: {len(table.failed)}."


def _missed_requirements(tables: Sequence[Table]) -> list[str]:
    return [
        f"{table.title}, {'aim' if one.aim else 'required'}: {one.text}: {one.status}"
        + (f", found {one.found}" if one.found else "")
        for table in tables
        for one in table.requirements
        if one.status != MET
    ]


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)


def _group_row(group: Group) -> list[str]:
    """The summary of a group: the router against the best baseline, the blind score and the oracle."""
    best = group.rows.get(group.best_baseline)
    gain = best.gains.get(group.metric) if best else None
    named = f"{number(score(group, group.best_baseline).mean)} {group.best_baseline}" if best else DASH
    over_blind = sign(group.metric) * (score(group, ROUTER).mean - group.blind.mean)
    return [*_setting_and_k(group), number(score(group, ROUTER).mean), named, gain_text(gain), _significance(gain),
            number(learnable_gain(group), sign=True), number(over_blind, sign=True), _share(group, ROUTER),
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


def _policy_row(group: Group, name: str, others: Iterable[str]) -> list[str]:
    row = group.rows[name]
    rest = [_metric_text(metric, row.metrics[metric]) if metric in row.metrics else DASH for metric in others]
    gain = gain_text(row.gains.get(group.metric)) if name != ORACLE else DASH
    return [name, mean_text(score(group, name)), gain, _share(group, name), *rest]


def _accepted(group: Group) -> str:
    """In how many seeds the gate accepted what gradients trained: `3 of 5`."""
    found = group.rows[ROUTER].metrics.get(ACCEPTED)
    return DASH if found is None else f"{round(sum(found.values))} of {len(found.values)}"


def _setting_and_k(group: Group) -> list[str]:
    return [group.setting, DASH if group.k is None else str(group.k)]


def _metric_and_seeds(group: Group) -> list[str]:
    return [metric_name(group.metric), str(len(group.seeds))]


def _metric_text(metric: str, value: SeedStatistics) -> str:
    return f"{value.mean:.1f}" if metric == "seconds" and math.isfinite(value.mean) else number(value.mean)


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
