"""report.md: the report for a terminal or a pull request."""

import html
import re
from collections.abc import Iterable

from prouter_jax.report.types import EXPLANATIONS, Report
from prouter_jax.report.words import PAIRED_COLUMNS, headline, paired_rows, policy_columns, policy_rows


def to_markdown(report: Report) -> str:
    """The report as a short page: headline, policies by reward, paired differences, facts."""
    name = report.reward_name
    policies = [[policy, *cells, EXPLANATIONS.get(policy, "")] for policy, *cells in policy_rows(report)]
    parts = [
        f"# {cell(report.title)}",
        "\n".join(f"- {cell(line)}" for line in headline(report)),
        "## Policies",
        table([*policy_columns(report), "what it does"], policies),
        f"## Differences in {name}, on the same test decisions",
        table(PAIRED_COLUMNS, paired_rows(report)) if report.paired else "None measured.",
        "## Facts",
        table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are plain text."""
    columns = list(columns)
    lines = [[cell(str(text)) for text in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Text that neither ends a table cell nor becomes markup."""
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
