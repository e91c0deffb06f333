"""report.md: the report for a terminal or a pull request."""

from prouter_jax.io.markdown import cell, table
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
