"""report.html of a protocol: all tables measured so far on one page."""

from collections.abc import Iterable, Sequence

from prouter_jax.protocol.plots import draw_plots
from prouter_jax.protocol.table import Cell, Table
from prouter_jax.protocol.words import HOW_TO_READ, MET, cell_name, duration, policy_table, summary_table
from prouter_jax.report import elements
from prouter_jax.report.types import ROUTER
from prouter_jax.report.words import DASH

_TITLE = "Personal LLM routing: every setting, measured"


def to_html(tables: Sequence[Table]) -> str:
    """The whole page, with its style and plots inside."""
    parts = [
        f"<h1>{_TITLE}</h1>",
        elements.tiles(_figures(tables)),
        f"<p>{' · '.join(map(_link, tables))}</p>",
        f'<p class="faint">{HOW_TO_READ}</p>',
        *(part for table in tables for part in _section(table)),
    ]
    return elements.document(_TITLE, parts)


def _figures(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """The key figures: a value and the words under it."""
    verdicts = [one for table in tables for one in table.verdicts]
    tiles = [(str(len(tables)), f"tables, measured in {duration(sum(table.seconds for table in tables))}")]
    for aim, words in ((False, "required numbers met"), (True, "aims met")):
        asked = [one for one in verdicts if one.aim == aim]
        if asked:
            tiles.append((f"{sum(one.status == MET for one in asked)} of {len(asked)}", words))
    return tiles


def _link(table: Table) -> str:
    return f'<a href="#{elements.text(table.name)}">{elements.text(table.title)}</a>'


def _section(table: Table) -> Iterable[str]:
    yield f'<h2 id="{elements.text(table.name)}">{elements.text(table.title)}</h2>'
    yield f"<p>{elements.text(table.caption)}</p>"
    if table.verdicts:
        rows = [[one.status, one.found or DASH, "aim" if one.aim else "required", one.text] for one in table.verdicts]
        yield elements.table(["result", "found", "", "number asked for"], rows, words=True)
    if not table.cells:
        yield "<p>Nothing was measured.</p>"
    else:
        yield "<h3>Summary</h3>"
        yield elements.table(*summary_table(table))
    yield from (elements.figure(plot, "h3") for plot in draw_plots(table))
    folds = [elements.folded(f"All policies: {cell_name(cell)}", _policies(cell)) for cell in table.cells]
    yield elements.folded("All policies, setting by setting", "\n".join(folds)) if len(folds) > 1 else "".join(folds)
    yield elements.folded("Where the numbers come from", elements.table(["fact", "value"], _facts(table), words=True))


def _policies(cell: Cell) -> str:
    facts = elements.table(["fact", "value"], cell.facts.items(), words=True) if cell.facts else ""
    return elements.table(*policy_table(cell), marked=ROUTER) + facts


def _facts(table: Table) -> Iterable[tuple[str, str]]:
    yield from table.facts.items()
    yield "time", duration(table.seconds)
    if table.failed:
        yield "units without a result", ", ".join(table.failed)
