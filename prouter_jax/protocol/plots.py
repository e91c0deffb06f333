"""The plots of a table: the router's gains with their intervals, and scores over k."""

import functools
import math
from collections.abc import Mapping, Sequence

from prouter_jax.protocol.selection import by_room, most_to_gain
from prouter_jax.protocol.table import ORACLE, Cell, Table, baselines, sign
from prouter_jax.protocol.words import cell_name, gain_words, metric_name, ranked, value
from prouter_jax.report.drawing import BLUE, DARK, ORANGE, Plot, draw_svg, shorten
from prouter_jax.report.plots_policies import beyond_chance, draw_paired
from prouter_jax.report.types import ROUTER, PairedDifference

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
