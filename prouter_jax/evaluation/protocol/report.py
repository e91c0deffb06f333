"""Tables in words and cells, as the Markdown, the page and README show them; unknown numbers are a dash."""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from prouter_jax.evaluation.protocol.definition import ABLATION, Finding
from prouter_jax.evaluation.protocol.storage import read_tables
from prouter_jax.evaluation.protocol.table import (
    ORACLE,
    WORTH,
    Cell,
    Table,
    Verdict,
    baselines,
    brings,
    by_room,
    join_facts,
    most_to_gain,
    sign,
)
from prouter_jax.io import markdown
from prouter_jax.io.numbers import DASH, number, percent
from prouter_jax.metrics import Interval
from prouter_jax.report import elements
from prouter_jax.report.drawing import BLUE, DARK, ORANGE, Plot, draw_svg, shorten
from prouter_jax.report.plots_policies import beyond_chance, draw_paired
from prouter_jax.report.section import write_section
from prouter_jax.report.types import ROUTER, PairedDifference, Spread
from prouter_jax.report.words import spread

MET, NOT_MEASURED = "met", "not measured"
HOW_TO_READ = (
    "Gains are the router minus a policy on the same seeds and the same test decisions, with a 95 % interval; above 0 "
    "the router is better, also where less of the metric is better. The best tuned baseline is chosen on validation. "
    "Brings: how much better the fully trained score is than the blind one; above blind: how much better the router is "
    "than that. Share recovered: 0 % is the blind score, 100 % the fully trained one, where more than "
    f"{WORTH} is brought."
)
Rows = list[list[str]]
_NAMES = {"reward": "reward", "accuracy": "accuracy", "top2": "top 2", "log_loss": "log loss"}


def missed(by: float) -> str:
    """`missed by 0.0012`."""
    return f"missed by {number(by)}" if by >= 0.00005 else "missed by less than 0.0001"


def finding_words(found: Finding) -> str:
    """`0.9510 in choices, k = 30`."""
    return f"{number(found.value)} in {found.where}"


def metric_name(metric: str) -> str:
    """A metric as readers know it."""
    return _NAMES.get(metric, metric)


def gain_words(found: PairedDifference | None) -> str:
    """`+0.0012 (+0.0004 to +0.0020)`, the mean alone where there is no interval."""
    if found is None or not math.isfinite(found.mean):
        return DASH
    return number(found.mean, sign=True) + _limits(found, lambda x: number(x, sign=True))


def share_words(found: Interval) -> str:
    """`81.0 % (75.0 % to 87.0 %)`."""
    return percent(found.mean) + _limits(found, percent)


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `1 h 40 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cell_name(cell: Cell) -> str:
    """The setting, with its k."""
    return cell.setting if cell.k is None else f"{cell.setting}, k = {cell.k}"


def ranked(cell: Cell) -> list[str]:
    """All policies, best first by the cell's metric, unknown last."""
    mean = {name: sign(cell.metric) * value(cell, name).mean for name in cell.rows}
    return sorted(mean, key=lambda name: (-mean[name] if math.isfinite(mean[name]) else math.inf, name))


def value(cell: Cell, policy: str) -> Spread:
    """The cell's metric of a policy, NaN where it was not measured."""
    row = cell.rows.get(policy)
    return row.metrics[cell.metric] if row and cell.metric in row.metrics else Spread(math.nan, 0.0, [])


def policy_table(cell: Cell, most: int | None = None) -> tuple[list[str], Rows]:
    """Columns and rows of the policies of a cell, best first.

    Args:
      most: so many rows; the router, the best baseline and the oracle are always among them.
    """
    others = dict.fromkeys(m for row in cell.rows.values() for m in row.metrics if m != cell.metric)
    names = ranked(cell)
    always = {ROUTER, ORACLE, cell.best_baseline}
    room = math.inf if most is None else most - sum(name in always for name in names)
    free = [name for name in names if name not in always]
    shown = [name for name in names if name in always or free.index(name) < room]
    columns = ["policy", metric_name(cell.metric), "router's gain", "share recovered", *map(metric_name, others)]
    return _without_empty(columns, [_policy_row(cell, name, others) for name in shown])


def summary_table(table: Table) -> tuple[list[str], Rows]:
    """Columns and rows of a table, a row for each cell; of an ablation, one for each part of the router."""
    if table.kind == ABLATION:
        columns = ["setting", "k", "router", "changed", "score", "router's gain", "verdict", "metric", "seeds"]
        return _without_empty(columns, [_part_row(cell, name) for cell in table.cells for name in baselines(cell)])
    columns = ["setting", "k", "router", "best tuned baseline", "router's gain", "verdict", "brings",
               "above blind", "share recovered", "oracle", "metric", "seeds"]  # fmt: skip
    return _without_empty(columns, [_cell_row(cell) for cell in table.cells])


def useless_parts(table: Table) -> Rows:
    """What an ablation shows not to help: setting, policy and gain of parts whose gain may be chance, or is none."""
    found = [(cell, name, cell.rows[name].gains.get(cell.metric)) for cell in table.cells for name in baselines(cell)]
    return [
        [cell_name(cell), name, gain_words(gain)]
        for cell, name, gain in found
        if table.kind == ABLATION and gain is not None and math.isfinite(gain.mean) and not gain.low > 0
    ]


def _cell_row(cell: Cell) -> list[str]:
    best = cell.rows.get(cell.best_baseline)
    found = best.gains.get(cell.metric) if best else None
    named = f"{number(value(cell, cell.best_baseline).mean)} {cell.best_baseline}" if best else DASH
    return [*_place(cell), number(value(cell, ROUTER).mean), named, gain_words(found), _chance(found),
            *_recovered(cell), number(value(cell, ORACLE).mean), *_what(cell)]  # fmt: skip


def _recovered(cell: Cell) -> list[str]:
    """What there is to be learnt, how much the router has learnt of it, and as a share."""
    learnt = sign(cell.metric) * (value(cell, ROUTER).mean - cell.blind.mean)
    return [number(brings(cell), sign=True), number(learnt, sign=True), _share(cell, ROUTER)]


def _share(cell: Cell, policy: str) -> str:
    return share_words(cell.rows[policy].share) if brings(cell) > WORTH else DASH


def _part_row(cell: Cell, name: str) -> list[str]:
    found = cell.rows[name].gains.get(cell.metric)
    scores = [number(value(cell, policy).mean) for policy in (ROUTER, name)]
    return [*_place(cell), scores[0], name, scores[1], gain_words(found), _chance(found), *_what(cell)]


def _place(cell: Cell) -> list[str]:
    return [cell.setting, DASH if cell.k is None else str(cell.k)]


def _what(cell: Cell) -> list[str]:
    return [metric_name(cell.metric), str(len(cell.seeds))]


def _policy_row(cell: Cell, name: str, others: Iterable[str]) -> list[str]:
    row = cell.rows[name]
    rest = [_other(metric, row.metrics[metric]) if metric in row.metrics else DASH for metric in others]
    gain = gain_words(row.gains.get(cell.metric)) if name != ORACLE else DASH
    return [name, spread(value(cell, name)), gain, _share(cell, name), *rest]


def _other(metric: str, measured: Spread) -> str:
    return f"{measured.mean:.1f}" if metric == "seconds" and math.isfinite(measured.mean) else number(measured.mean)


def _chance(found: PairedDifference | None) -> str:
    """Whether a gain is beyond chance, in a word or two."""
    if found is None or not math.isfinite(found.high - found.low):
        return DASH
    return "unclear" if found.low <= 0 <= found.high else "gain" if found.low > 0 else "loss"


def _limits(found: PairedDifference | Interval, form) -> str:
    return f" ({form(found.low)} to {form(found.high)})" if math.isfinite(found.high - found.low) else ""


def _without_empty(columns: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """Columns that say nothing in any row are left out."""
    kept = [place for place in range(len(columns)) if any(row[place] != DASH for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


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


_ROWS, _ROWS_A_CELL, _SETTINGS, _BASELINES = 24, 12, 4, 4
_LOOKS = (ORANGE, "#009E73", "#CC79A7", "#E69F00")


def draw_plots(table: Table) -> list[Plot]:
    """All plots that the table has numbers for."""
    return [plot for plot in (_plot_gains(table), *_plot_over_k(table)) if plot is not None]


def _plot_gains(table: Table) -> Plot | None:
    """The router against the baselines that come closest to it, as many in each cell as there is room for."""
    cells = most_to_gain(table.cells, _ROWS)
    most = min(_ROWS_A_CELL, max(1, _ROWS // max(1, len(cells))))
    found = [(cell, row) for cell in cells for row in _closest(cell, most)]
    if not found:
        return None
    several = len(cells) > 1
    names = [f"{shorten(row.against, 30)}\n{shorten(cell_name(cell), 42) if several else ''}" for cell, row in found]
    rows = [row for _, row in found]
    clear = [row for row in rows if beyond_chance(row)]
    title = f"The router's gain: {len(clear)} of {len(rows)} differences are beyond chance"
    caption = (
        "How to read: right of zero the router is better than the policy named; lines are 95 % intervals over seeds, "
        f"one that crosses zero may be chance. At most {most} of a setting are shown, those closest to the router"
        f"{'' if len(cells) == len(table.cells) else ', of the settings where most is to be gained'}."
    )
    alt = "; ".join(f"{cell_name(cell)}, {row.against}: {gain_words(row)}" for cell, row in found)
    metrics = " or ".join(dict.fromkeys(metric_name(cell.metric) for cell, _ in found))
    draw = functools.partial(draw_paired, rows=rows, names=names, label=f"gain in {metrics}")
    return Plot(title, draw_svg(f"gains-{table.name}", draw, 0.46 * len(rows) + 0.8, f"{title}. {alt}"), caption)


def _closest(cell: Cell, most: int) -> list[PairedDifference]:
    """The baselines of the smallest gain, hardest first."""
    gains = [cell.rows[name].gains.get(cell.metric) for name in baselines(cell)]
    known = [gain for gain in gains if gain is not None and math.isfinite(gain.mean)]
    return sorted(known, key=lambda gain: gain.mean)[:most]


def _plot_over_k(table: Table) -> list[Plot]:
    """One plot for each setting with several k; of many settings, those where most is to be gained."""
    settings = {cell.setting: [one for one in table.cells if one.setting == cell.setting and one.k is not None]
                for cell in table.cells}  # fmt: skip
    chosen = [setting for setting in by_room(table.cells) if len(settings[setting]) > 1][:_SETTINGS]
    return [_over_k(f"k-{table.name}-{place}", settings[setting]) for place, setting in enumerate(chosen)]


def _over_k(name: str, cells: Sequence[Cell]) -> Plot:
    metric = metric_name(cells[0].metric)
    less = sign(cells[0].metric) < 0
    title = f"{cells[0].setting}: {metric} by the number k of what was seen"
    caption = (
        f"How to read: {'lower' if less else 'higher'} is better; whiskers show the standard deviation over seeds; the "
        f"baselines shown are the best {_BASELINES} at some k; dashed lines are the blind and the fully trained score."
    )
    lines = {policy: [value(cell, policy) for cell in cells] for policy in [ROUTER, *_strong(cells)]}
    alt = "; ".join(f"{policy} {', '.join(f'{one.mean:.3f}' for one in line)}" for policy, line in lines.items())
    draw = functools.partial(_draw_over_k, cells=cells, lines=lines, label=f"{metric} ({'less' if less else 'more'} is "
                             "better)")  # fmt: skip
    return Plot(title, draw_svg(name, draw, 3.9, f"{title}. {alt}"), caption)


def _strong(cells: Sequence[Cell]) -> list[str]:
    """The baselines that are the best at some k first, then those that are second, and so on."""
    orders = [[name for name in ranked(cell) if name not in (ROUTER, ORACLE)] for cell in cells]
    by_rank = [order[rank] for rank in range(max(map(len, orders))) for order in orders if rank < len(order)]
    return list(dict.fromkeys(by_rank))[:_BASELINES]


def _draw_over_k(axes, cells: Sequence[Cell], lines: Mapping, label: str) -> None:
    places = range(len(cells))
    looks = [{"color": BLUE, "linewidth": 2.6, "zorder": 5}, *({"color": c, "linewidth": 1.4} for c in _LOOKS)]
    for shift, ((policy, line), look) in enumerate(zip(lines.items(), looks, strict=False)):
        moved = [place + 0.04 * (shift - (len(lines) - 1) / 2) for place in places]  # whiskers side by side
        means, spreads = [one.mean for one in line], [one.spread for one in line]
        axes.errorbar(moved, means, spreads, marker="o", markersize=4, capsize=2, label=shorten(policy, 26), **look)
    for end, style in (("blind", (0, (1, 2))), ("full", (0, (5, 3)))):
        known = [getattr(cell, end).mean for cell in cells]
        if any(map(math.isfinite, known)):
            axes.plot(places, known, color=DARK, linewidth=1, linestyle=style, label=_ENDS[end])
    axes.set_xticks(places, [str(cell.k) for cell in cells])
    axes.set_xlabel("k")
    axes.set_ylabel(label)
    axes.grid(axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)


_ENDS = {"blind": "blind", "full": "fully trained"}


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


_MOST_results = 16  # rows of a table


def write_results(document: str | os.PathLike, workdir: pathlib.Path) -> None:
    """Puts the results of WORKDIR/tables/*.json between the two markers of a Markdown document; the rest stays.

    Raises:
      ValueError: naming the file, if the markers are not there once and in order, or there is no sound table.
    """
    tables = read_tables(workdir)
    if not tables:
        raise ValueError(f"{workdir}/tables: expected tables, found none; measure them first")
    write_section(document, "results", results_section(tables))


def results_section(tables: Sequence[Table]) -> str:
    """All tables in short, what was not reached and what did not help, in Markdown."""
    parts = [_where_from(tables)]
    for table in tables:
        parts += _section_results(table)
    parts += ["### Not reached", _list(_not_reached(tables), "Every number asked for was reached.")]
    if any(useless := [_useless(table) for table in tables]):
        parts += ["### What did not help", "Parts of the router whose gain is no more than chance."]
        parts += [_list([line for lines in useless for line in lines], "")]
    return "\n\n".join(parts)


def _where_from(tables: Sequence[Table]) -> str:
    # what a table says of several commits or days is already joined
    said = ((name, part) for table in tables for name, value in table.facts.items() for part in value.split(", "))
    facts = join_facts({name: part} for name, part in said)
    from_where = "; ".join(f"{name} {value}" for name, value in facts.items())
    total = duration(sum(table.seconds for table in tables))
    return markdown.cell(f"{len(tables)} tables, {total} of computing ({from_where}). {HOW_TO_READ}")


def _section_results(table: Table) -> Iterable[str]:
    yield f"### {markdown.cell(table.title)}"
    yield markdown.cell(" ".join(filter(None, [table.caption, *_counts(table)])))
    shown = most_to_gain(table.cells, _MOST_results)
    if shown:
        yield markdown.table(*summary_table(dataclasses.replace(table, cells=shown)))
    if len(shown) < len(table.cells):
        yield (
            f"{len(shown)} of {len(table.cells)} rows, of the settings where most is to be gained; what is required is "
            f"required of all, which are in tables/{table.name}.md of the workdir."
        )


def _counts(table: Table) -> Iterable[str]:
    """`Required: 2 of 3 met.`"""
    for aim, name in ((False, "Required"), (True, "Aims")):
        asked = [one for one in table.verdicts if one.aim == aim]
        if asked:
            yield f"{name}: {sum(one.status == MET for one in asked)} of {len(asked)} met."
    if table.failed:
        yield f"Units without a result: {len(table.failed)}."


def _not_reached(tables: Sequence[Table]) -> list[str]:
    return [
        f"{table.title}, {'aim' if one.aim else 'required'}: {one.text}: {_outcome(one)}"
        for table in tables
        for one in table.verdicts
        if one.status != MET
    ]


def _outcome(verdict: Verdict) -> str:
    return f"{verdict.status}, found {verdict.found}" if verdict.found else verdict.status


def _useless(table: Table) -> list[str]:
    return [f"{table.title}, {setting}: {part}, {gain}" for setting, part, gain in useless_parts(table)]


def _list(lines: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {markdown.cell(line)}" for line in lines) or otherwise
