"""Tables of the protocol as sentences, cells and Markdown. Unknown numbers are shown as a dash."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

from prouter_jax.evaluation.protocol.definition import ABLATION, Finding
from prouter_jax.evaluation.protocol.storage import read_tables
from prouter_jax.evaluation.protocol.table import (
    MIN_LEARNABLE_GAIN,
    ORACLE,
    Cell,
    Table,
    baselines,
    join_facts,
    largest_learnable_gains,
    learnable_gain,
    sign,
)
from prouter_jax.io import markdown
from prouter_jax.io.display import DASH, number, percent
from prouter_jax.metrics import Interval
from prouter_jax.report.text import is_significant, mean_text
from prouter_jax.report.types import ROUTER, PairedDifference, SeedStatistics

MET, NOT_MEASURED = "met", "not measured"
HOW_TO_READ = (
    "The router's gain is its score minus that of a policy on the same seeds and test decisions, with a 95 % interval. "
    "Above 0 the router is better, also where less of the metric is better. The best tuned baseline is chosen on "
    "validation. Learnable gain: how much better the fully trained score is than the blind score. Gain over blind: how "
    "much better the router is than the blind score. Share recovered: 0 % is the blind score, 100 % the fully trained "
    f"score; it is shown where the learnable gain is more than {MIN_LEARNABLE_GAIN}."
)
Rows = list[list[str]]
_MARKDOWN_POLICIES = 12  # most policies of a cell; the JSON and the page have all
_RESULTS_ROWS = 16  # most rows of a table in a results section
_METRIC_NAMES = {"top2": "top 2", "log_loss": "log loss"}


def to_markdown(table: Table) -> str:
    """tables/NAME.md: requirements, a line for each cell, the best policies of each cell, facts."""
    parts = [f"# {markdown.cell(table.title)}", markdown.cell(table.caption)]
    if table.verdicts:
        rows = [["aim" if one.aim else "required", one.text, one.found or DASH, one.status] for one in table.verdicts]
        parts += ["## Requirements", markdown.table(["", "requirement", "found", "result"], rows)]
    parts += _measured(table)
    parts += ["## Facts", markdown.table(["fact", "value"], facts_rows(table))]
    return "\n\n".join(parts) + "\n"


def write_results(document: str | os.PathLike, workdir: pathlib.Path) -> None:
    """Writes the results of WORKDIR/tables/*.json between the markers `results` of a Markdown document.

    Raises:
      ValueError: naming the file, if a marker is missing or there is no valid table.
    """
    tables = read_tables(workdir)
    if not tables:
        raise ValueError(f"{workdir}/tables: expected tables, found none; measure them first")
    markdown.write_section(document, "results", results_section(tables))


def results_section(tables: Sequence[Table]) -> str:
    """Markdown of all tables in short, the requirements that are not met, and the parts without significant gain."""
    parts = [_provenance(tables)]
    for table in tables:
        parts += _short(table)
    parts += ["### Not reached", _bullets(_not_met(tables)) or "Every requirement and aim is met."]
    useless = [
        f"{table.title}, {setting}: {part}, {gain}" for table in tables for setting, part, gain in useless_parts(table)
    ]
    if useless:
        parts += ["### What did not help", "Parts of the router without a significant gain.", _bullets(useless)]
    return "\n\n".join(parts)


def policy_table(cell: Cell, most: int | None = None) -> tuple[list[str], Rows]:
    """Columns and rows of the policies of a cell, best first.

    Args:
      most: number of rows; the router, the best baseline and the oracle are always among them. None for all.
    """
    others = dict.fromkeys(m for row in cell.rows.values() for m in row.metrics if m != cell.metric)
    names = by_score(cell)
    always = {ROUTER, ORACLE, cell.best_baseline}
    free = [name for name in names if name not in always]
    if most is not None:
        free = free[: max(0, most - len(names) + len(free))]
    shown = [name for name in names if name in always or name in free]
    columns = ["policy", metric_name(cell.metric), "router's gain", "share recovered", *map(metric_name, others)]
    return _without_empty(columns, [_policy_row(cell, name, others) for name in shown])


def summary_table(table: Table) -> tuple[list[str], Rows]:
    """Columns and rows of a table: a row for each cell, or in an ablation for each part of the router."""
    if table.kind == ABLATION:
        columns = ["setting", "k", "router", "changed", "score", "router's gain", "verdict", "metric", "seeds"]
        return _without_empty(columns, [_part_row(cell, name) for cell in table.cells for name in baselines(cell)])
    columns = ["setting", "k", "router", "best tuned baseline", "router's gain", "verdict", "learnable gain",
               "gain over blind", "share recovered", "oracle", "metric", "seeds"]  # fmt: skip
    return _without_empty(columns, [_cell_row(cell) for cell in table.cells])


def useless_parts(table: Table) -> Rows:
    """Setting, policy and gain of the parts in an ablation whose gain is not significantly above 0."""
    gains = [(cell, name, cell.rows[name].gains.get(cell.metric)) for cell in table.cells for name in baselines(cell)]
    return [
        [cell_name(cell), name, gain_text(gain)]
        for cell, name, gain in gains
        if table.kind == ABLATION and gain is not None and math.isfinite(gain.mean) and not gain.low > 0
    ]


def facts_rows(table: Table) -> Rows:
    """The facts of a table, its time and its failed units."""
    failed = [["units without a result", ", ".join(table.failed)]] if table.failed else []
    return [*map(list, table.facts.items()), ["time", duration_text(table.seconds)], *failed]


def by_score(cell: Cell) -> list[str]:
    """All policies by the cell's metric, best first, unknown last; equal scores by name."""
    mean = {name: sign(cell.metric) * score(cell, name).mean for name in cell.rows}
    return sorted(mean, key=lambda name: (-mean[name] if math.isfinite(mean[name]) else math.inf, name))


def score(cell: Cell, policy: str) -> SeedStatistics:
    """The cell's metric of a policy; NaN where it was not measured."""
    row = cell.rows.get(policy)
    return row.metrics[cell.metric] if row and cell.metric in row.metrics else SeedStatistics(math.nan, 0.0, [])


def cell_name(cell: Cell) -> str:
    """The setting, with its k."""
    return cell.setting if cell.k is None else f"{cell.setting}, k = {cell.k}"


def metric_name(metric: str) -> str:
    """The name of a metric as it is shown."""
    return _METRIC_NAMES.get(metric, metric)


def gain_text(gain: PairedDifference | None) -> str:
    """`+0.0012 (+0.0004 to +0.0020)`; the mean alone without an interval."""
    if gain is None or not math.isfinite(gain.mean):
        return DASH
    return number(gain.mean, sign=True) + _limits(gain, lambda value: number(value, sign=True))


def missed_text(margin: float) -> str:
    """`missed by 0.0012`."""
    return f"missed by {number(margin)}" if margin >= 0.00005 else "missed by less than 0.0001"


def finding_text(finding: Finding) -> str:
    """`0.9510 in choices, k = 30`."""
    return f"{number(finding.value)} in {finding.where}"


def duration_text(seconds: float) -> str:
    """`48 s`, `12 min`, `1 h 40 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _measured(table: Table) -> Iterable[str]:
    if not table.cells:
        yield "Nothing was measured."
        return
    yield "## Summary"
    yield HOW_TO_READ
    yield markdown.table(*summary_table(table))
    for cell in table.cells:
        yield f"## {markdown.cell(cell_name(cell))}"
        if len(cell.rows) > _MARKDOWN_POLICIES:
            yield f"The best {_MARKDOWN_POLICIES} of {len(cell.rows)} policies."
        yield markdown.table(*policy_table(cell, _MARKDOWN_POLICIES))


def _provenance(tables: Sequence[Table]) -> str:
    # A fact of a table may be a list, such as several commits or days.
    parts = ((name, part) for table in tables for name, value in table.facts.items() for part in value.split(", "))
    facts = join_facts({name: part} for name, part in parts)
    text = "; ".join(f"{name} {value}" for name, value in facts.items())
    total = duration_text(sum(table.seconds for table in tables))
    return markdown.cell(f"{len(tables)} tables, {total} of computing ({text}). {HOW_TO_READ}")


def _short(table: Table) -> Iterable[str]:
    yield f"### {markdown.cell(table.title)}"
    yield markdown.cell(" ".join(filter(None, [table.caption, *_counts(table)])))
    shown = largest_learnable_gains(table.cells, _RESULTS_ROWS)
    if shown:
        yield markdown.table(*summary_table(dataclasses.replace(table, cells=shown)))
    if len(shown) < len(table.cells):
        yield (
            f"{len(shown)} of {len(table.cells)} rows: the settings with the largest learnable gain. Requirements "
            f"apply to all rows; tables/{table.name}.md of the workdir has them."
        )


def _counts(table: Table) -> Iterable[str]:
    """`Required: 2 of 3 met.`"""
    for aim, name in ((False, "Required"), (True, "Aims")):
        verdicts = [one for one in table.verdicts if one.aim == aim]
        if verdicts:
            yield f"{name}: {sum(one.status == MET for one in verdicts)} of {len(verdicts)} met."
    if table.failed:
        yield f"Units without a result: {len(table.failed)}."


def _not_met(tables: Sequence[Table]) -> list[str]:
    return [
        f"{table.title}, {'aim' if one.aim else 'required'}: {one.text}: {one.status}"
        + (f", found {one.found}" if one.found else "")
        for table in tables
        for one in table.verdicts
        if one.status != MET
    ]


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown.cell(line)}" for line in lines)


def _cell_row(cell: Cell) -> list[str]:
    best = cell.rows.get(cell.best_baseline)
    gain = best.gains.get(cell.metric) if best else None
    named = f"{number(score(cell, cell.best_baseline).mean)} {cell.best_baseline}" if best else DASH
    over_blind = sign(cell.metric) * (score(cell, ROUTER).mean - cell.blind.mean)
    return [*_place(cell), number(score(cell, ROUTER).mean), named, gain_text(gain), _verdict(gain),
            number(learnable_gain(cell), sign=True), number(over_blind, sign=True), _share(cell, ROUTER),
            number(score(cell, ORACLE).mean), *_metric_and_seeds(cell)]  # fmt: skip


def _part_row(cell: Cell, name: str) -> list[str]:
    gain = cell.rows[name].gains.get(cell.metric)
    router, changed = (number(score(cell, policy).mean) for policy in (ROUTER, name))
    return [*_place(cell), router, name, changed, gain_text(gain), _verdict(gain), *_metric_and_seeds(cell)]


def _policy_row(cell: Cell, name: str, others: Iterable[str]) -> list[str]:
    row = cell.rows[name]
    rest = [_metric_text(metric, row.metrics[metric]) if metric in row.metrics else DASH for metric in others]
    gain = gain_text(row.gains.get(cell.metric)) if name != ORACLE else DASH
    return [name, mean_text(score(cell, name)), gain, _share(cell, name), *rest]


def _place(cell: Cell) -> list[str]:
    return [cell.setting, DASH if cell.k is None else str(cell.k)]


def _metric_and_seeds(cell: Cell) -> list[str]:
    return [metric_name(cell.metric), str(len(cell.seeds))]


def _metric_text(metric: str, value: SeedStatistics) -> str:
    return f"{value.mean:.1f}" if metric == "seconds" and math.isfinite(value.mean) else number(value.mean)


def _share(cell: Cell, policy: str) -> str:
    """`81.0 % (75.0 % to 87.0 %)`, where the learnable gain is large enough."""
    share = cell.rows[policy].share
    return percent(share.mean) + _limits(share, percent) if learnable_gain(cell) > MIN_LEARNABLE_GAIN else DASH


def _verdict(gain: PairedDifference | None) -> str:
    """Whether a gain is significant, in one word."""
    if gain is None or not math.isfinite(gain.high - gain.low):
        return DASH
    if not is_significant(gain):
        return "unclear"
    return "gain" if gain.low > 0 else "loss"


def _limits(value: PairedDifference | Interval, form: Callable[[float], str]) -> str:
    return f" ({form(value.low)} to {form(value.high)})" if math.isfinite(value.high - value.low) else ""


def _without_empty(columns: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """Leaves out columns that are a dash in every row."""
    kept = [place for place in range(len(columns)) if any(row[place] != DASH for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
