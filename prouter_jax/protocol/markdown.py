"""tables/NAME.md: one table for a terminal or a pull request."""

from collections.abc import Iterable

from prouter_jax.protocol.table import Table
from prouter_jax.protocol.words import HOW_TO_READ, cell_name, duration, policy_table, summary_table
from prouter_jax.report import markdown
from prouter_jax.report.words import DASH

_MOST = 12  # policies of a cell; the JSON and the page have all


def to_markdown(table: Table) -> str:
    """The table as a short page: what was required, each cell in a line, the best policies of each cell, facts."""
    parts = [f"# {markdown.cell(table.title)}", markdown.cell(table.caption), *_required(table), *_measured(table)]
    facts = {**table.facts, "time": duration(table.seconds), **_failed(table)}
    parts += ["## Facts", markdown.table(["fact", "value"], facts.items())]
    return "\n\n".join(parts) + "\n"


def _required(table: Table) -> Iterable[str]:
    if table.verdicts:
        rows = [["aim" if one.aim else "required", one.text, one.found or DASH, one.status] for one in table.verdicts]
        yield "## What was asked for"
        yield markdown.table(["", "number asked for", "found", "result"], rows)


def _measured(table: Table) -> Iterable[str]:
    if not table.cells:
        yield "Nothing was measured."
        return
    yield "## Summary"
    yield HOW_TO_READ
    yield markdown.table(*summary_table(table))
    for cell in table.cells:
        yield f"## {markdown.cell(cell_name(cell))}"
        if len(cell.rows) > _MOST:
            yield f"The best {_MOST} of {len(cell.rows)} policies."
        yield markdown.table(*policy_table(cell, _MOST))


def _failed(table: Table) -> dict[str, str]:
    return {"units without a result": ", ".join(table.failed)} if table.failed else {}
