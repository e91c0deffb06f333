"""Renders measured result tables as Markdown: one file a table, and a results section for a document.

Numbers that were not measured are shown as a dash. In an ablation, the rows are variants: the router without one part.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable, Sequence

from prouter_jax.evaluation.protocol.definition import ABLATION, Finding
from prouter_jax.evaluation.protocol.rows import Rows, gain_text, group_name, policy_table, summary_table
from prouter_jax.evaluation.protocol.storage import read_tables
from prouter_jax.evaluation.protocol.table import (
    MIN_LEARNABLE_GAIN,
    Table,
    baselines,
    join_facts,
    with_largest_learnable_gains,
)
from prouter_jax.io.display import DASH, escape_markdown, markdown_table, number, write_section

MET, NOT_MEASURED = "met", "not measured"
HOW_TO_READ = (
    "A policy is a rule that chooses an LLM: the router or a baseline. The router's gain is its score minus the score "
    "of a policy on the same seeds and test decisions, with a 95 % interval. A positive gain always means that the "
    "router is better, also for metrics where lower is better. The best tuned baseline is chosen on validation. k is "
    "the number of known decisions of a new user or about a new LLM. Blind score: the router's score without them. "
    "Full score: the best score with all of them. Learnable gain: full score minus blind score. Gain over blind: the "
    "router's score minus the blind score. Share recovered: 0 % is the blind score, 100 % the full score; it is "
    f"shown where the learnable gain is more than {MIN_LEARNABLE_GAIN}. ECE: expected calibration error of the chosen "
    "LLM, the mean distance of its probability from how often it is chosen; by chance: the ECE to expect of true "
    "probabilities on so few decisions. Slope: the factor on the logits with the lowest test log loss; 1 is "
    "calibrated, below 1 the probabilities are too extreme. The router's probabilities are those that it serves; the "
    "temperature of a baseline is fitted on validation. Users worse: the share of test users whose mean log loss is "
    "higher with their history than without (in accuracy: whose accuracy is lower); significantly: at the one-sided "
    "5 % level; by chance: the share to expect if nobody was truly worse, as each user has few test decisions."
)
_MAX_POLICIES = 12  # rows of a group in tables/NAME.md; the JSON and the page have all
_MAX_GROUPS = 16  # groups of a table in a results section


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
