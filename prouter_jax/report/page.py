"""report.html: one file for anyone with a browser, online or off, light or dark, wide or narrow."""

import html
import math
from collections.abc import Iterable, Sequence

from prouter_jax.report import plots
from prouter_jax.report.drawing import Plot
from prouter_jax.report.types import EXPLANATIONS, ROUTER, Report
from prouter_jax.report.words import (
    DASH,
    PAIRED_COLUMNS,
    by_reward,
    cautious,
    dollars,
    headline,
    interval,
    number,
    paired_rows,
    percent,
    policy_columns,
    policy_rows,
    verdict,
)

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1f2430; --faint: #5b6472; --line: #d9dde3;
  --mark: #0072b2; --row: #e8f2f9; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1d2128; --text: #e8eaee; --faint: #a3acb9;
  --line: #373e49; --mark: #56b4e9; --row: #1b3242; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.2rem 0 .6rem; }
.lead { font-size: 1.15rem; margin: 0 0 .4rem; }
.faint, figcaption { color: var(--faint); font-size: .92rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; color: var(--mark); }
.tile span { display: block; color: var(--faint); font-size: .88rem; line-height: 1.35; }
figure { margin: 0; }
/* Plots keep a light card: their colours are chosen for it. On a narrow screen they scroll instead of shrinking. */
.plot { background: #fff; border: 1px solid var(--line); border-radius: .6rem; padding: .6rem; overflow-x: auto; }
.plot svg { display: block; width: 100%; min-width: 36rem; height: auto; }
figcaption { margin-top: .4rem; }
@media (max-width: 38rem) { figcaption::before { content: "Swipe the plot sideways to see all of it. "; } }
.scroll { overflow: auto; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); }
.long { max-height: 30rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; overflow-wrap: normal; }
th { white-space: normal; position: sticky; top: 0; background: var(--card); }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
td small, .words td:last-child { display: block; color: var(--faint); white-space: normal; min-width: 15rem; }
.words td:last-child { display: table-cell; color: inherit; overflow-wrap: anywhere; }
tr.mark td { background: var(--row); }
"""


def to_html(report: Report) -> str:
    """The whole page, with its style and plots inside."""
    first, *rest = headline(report)
    parts = [
        f"<h1>{_text(report.title)}</h1>",
        f'<p class="lead"><strong>{_text(first)}</strong></p>',
        *(f'<p class="lead">{_text(line)}</p>' for line in rest),
        _tiles(report),
        *(_figure(plot) for plot in plots.draw_plots(report)),
        *_tables(report),
    ]
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.title)}</title>\n<style>{_STYLE}</style>"
    )
    page = "\n".join(part for part in parts if part)
    body = f"<body>\n<main>\n{page}\n</main>\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n{body}\n</html>\n'


def _text(text: str) -> str:
    return html.escape(str(text))


def _tiles(report: Report) -> str:
    tiles = "".join(f'<div class="tile"><b>{_text(b)}</b><span>{_text(s)}</span></div>' for b, s in _figures(report))
    return f'<div class="tiles">{tiles}</div>' if tiles else ""


def _figures(report: Report) -> list[tuple[str, str]]:
    """The key figures: a value and the words under it."""
    router = report.policies.get(ROUTER)
    if router is None:
        return []
    single = report.policies.get("best_single")
    than = f"best single LLM: {number(single.reward.mean)}" if single else "no best single LLM to compare with"
    tiles = [
        (number(router.reward.mean), f"{report.reward_name} of the router; {than}"),
        (percent(router.gap_closed.mean), "gap closed: 0 % is the best single LLM, 100 % perfect choices"),
    ]
    for against, words in (("best_per_user", "each user's own best LLM"), ("user_blind", "the user-blind twin")):
        row = cautious(report, against)
        if row is not None:
            tiles.append((number(row.mean, sign=True), f"against {words}; {interval(row)}: {verdict(row)}"))
    return [*tiles, *_cost_and_users(report)]


def _cost_and_users(report: Report) -> list[tuple[str, str]]:
    tiles = []
    cost = report.policies[ROUTER].cost.mean
    if math.isfinite(cost):
        strongest = report.policies.get("strongest")
        than = f"; strongest LLM: {dollars(strongest.cost.mean)}" if strongest else ""
        tiles.append((f"${dollars(cost)}", f"per 1000 queries{than}"))
    gains = [user.reward - user.best_single for user in report.users if math.isfinite(user.reward - user.best_single)]
    if gains:
        better = sum(gain > 0 for gain in gains) / len(gains)
        tiles.append((percent(better), f"of {len(gains)} users do better than with the best single LLM"))
    return tiles


def _figure(plot: Plot) -> str:
    caption = f"<figcaption>{_text(plot.caption)}</figcaption>"
    return f'<h2>{_text(plot.title)}</h2>\n<figure><div class="plot" tabindex="0">{plot.svg}</div>{caption}</figure>'


def _tables(report: Report) -> Iterable[str]:
    yield "<h2>All policies</h2>"
    notes = [
        "Gap closed: 0 % is the best single LLM, 100 % the oracle.",
        "Accuracy: how often the policy picks an LLM that is best for this user and query.",
        "Effect: quality of the answers, from 0 to 1.",
    ]
    if any(len(result.reward.values) > 1 for result in report.policies.values()):
        notes.append("± is the standard deviation over seeds.")
    yield f'<p class="faint">{" ".join(notes)}</p>'
    yield _table(policy_columns(report), policy_rows(report), EXPLANATIONS, marked=ROUTER)
    if report.paired:
        yield "<h2>Differences on the same test decisions</h2>"
        yield _table(PAIRED_COLUMNS, paired_rows(report))
    yield from _task_table(report)
    yield from _user_table(report)
    yield from _share_table(report)
    yield "<h2>Facts</h2>"
    yield _table(["fact", "value"], report.facts.items(), words=True)


def _task_table(report: Report) -> Iterable[str]:
    names = by_reward(report)
    tasks = list(dict.fromkeys(task for name in names for task in report.policies[name].per_task))
    if tasks:
        rows = [[t, *(number(report.policies[name].per_task.get(t, math.nan)) for name in names)] for t in tasks]
        yield f"<h2>{_text(report.reward_name.capitalize())} by task</h2>"
        yield _table(["task", *names], rows)


def _user_table(report: Report) -> Iterable[str]:
    if report.users:
        rows = [
            [u.user_id, number(u.preference), number(u.reward), number(u.best_single),
             number(u.reward - u.best_single, sign=True), u.favourite_llm or DASH]
            for u in report.users
        ]  # fmt: skip
        yield "<h2>All users</h2>"
        yield _table(["user", "preference", "router", "best single LLM", "gain", "favourite LLM"], rows)


def _share_table(report: Report) -> Iterable[str]:
    table = report.shares
    if len(table.users) and len(table.llms):
        # LLMs stand in rows: there may be many, and their names are long.
        rows = [[llm, *(percent(row[i]) for row in table.shares)] for i, llm in enumerate(table.llms)]
        yield "<h2>Share of the router's choices</h2>"
        yield _table(["LLM", *table.users], rows)


def _table(
    columns: Sequence[str],
    rows: Iterable[Iterable[str]],
    notes: dict[str, str] | None = None,
    marked: str = "",
    words: bool = False,
) -> str:
    """A table in a box that scrolls; `notes` stand under the name in the first column."""
    lines = []
    for first, *rest in rows:
        note = f"<small>{_text(notes[first])}</small>" if notes and first in notes else ""
        mark = ' class="mark"' if marked and first == marked else ""
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        lines.append(f"<tr{mark}><td>{_text(first)}{note}</td>{cells}</tr>")
    head = "".join(f'<th scope="col">{_text(column).replace("_", "_<wbr>")}</th>' for column in columns)
    kind = ' class="words"' if words else ""
    body = "\n".join(lines)
    box = f'<div class="scroll{" long" if len(lines) > 20 else ""}" tabindex="0">'
    return f"{box}<table{kind}><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
