"""The parts of a page: one file for anyone with a browser, online or off, light or dark, wide or narrow."""

import html
from collections.abc import Iterable, Sequence

from prouter_jax.report.drawing import Plot

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
h3 { font-size: 1.05rem; line-height: 1.3; margin: 1.6rem 0 .5rem; }
details { margin: .6rem 0; }
a { color: var(--mark); }
summary { cursor: pointer; padding: .2rem 0; }
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
.scroll + .scroll { margin-top: .7rem; }
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


def document(title: str, parts: Iterable[str]) -> str:
    """The whole page, with its style inside; empty parts are left out."""
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>"
    )
    page = "\n".join(part for part in parts if part)
    body = f"<body>\n<main>\n{page}\n</main>\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n{body}\n</html>\n'


def text(value: str) -> str:
    """Text that cannot become markup."""
    return html.escape(str(value))


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Key figures side by side: a value and the words under it."""
    found = "".join(f'<div class="tile"><b>{text(b)}</b><span>{text(s)}</span></div>' for b, s in figures)
    return f'<div class="tiles">{found}</div>' if found else ""


def figure(plot: Plot, heading: str = "h2") -> str:
    """A plot under its title, with its caption."""
    title, caption = f"<{heading}>{text(plot.title)}</{heading}>", f"<figcaption>{text(plot.caption)}</figcaption>"
    return f'{title}\n<figure><div class="plot" tabindex="0">{plot.svg}</div>{caption}</figure>'


def folded(title: str, part: str) -> str:
    """A part of the page that opens when its title is clicked."""
    return f"<details><summary>{text(title)}</summary>\n{part}\n</details>"


def table(
    columns: Sequence[str],
    rows: Iterable[Iterable[str]],
    notes: dict[str, str] | None = None,
    marked: str = "",
    words: bool = False,
) -> str:
    """A table in a box that scrolls; `notes` stand under the name in the first column."""
    lines = []
    for first, *rest in rows:
        note = f"<small>{text(notes[first])}</small>" if notes and first in notes else ""
        mark = ' class="mark"' if marked and first == marked else ""
        cells = "".join(f"<td>{text(cell)}</td>" for cell in rest)
        lines.append(f"<tr{mark}><td>{text(first)}{note}</td>{cells}</tr>")
    head = "".join(f'<th scope="col">{text(column).replace("_", "_<wbr>")}</th>' for column in columns)
    kind = ' class="words"' if words else ""
    body = "\n".join(lines)
    box = f'<div class="scroll{" long" if len(lines) > 20 else ""}" tabindex="0">'
    return f"{box}<table{kind}><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
