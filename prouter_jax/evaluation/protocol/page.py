"""Builds report.html of the evaluation protocol: all result tables measured so far on one page, with their plots."""

import functools
import math
from collections.abc import Mapping, Sequence

from prouter_jax.evaluation.protocol.report import HOW_TO_READ, MET, duration_text, facts_rows
from prouter_jax.evaluation.protocol.rows import (
    by_score,
    gain_text,
    group_name,
    metric_name,
    policy_table,
    score,
    summary_table,
)
from prouter_jax.evaluation.protocol.table import (
    ORACLE,
    Group,
    Table,
    baselines,
    by_learnable_gain,
    sign,
    with_largest_learnable_gains,
)
from prouter_jax.io.display import DASH
from prouter_jax.report.names import is_significant
from prouter_jax.report.plots import BLUE, DARK, ORANGE, Plot, draw_legend, draw_svg, legend_height, shorten
from prouter_jax.report.plots_policies import draw_paired
from prouter_jax.report.types import ROUTER, PairedDifference
from prouter_jax.report.write import render

_TITLE = "Personal LLM routing: all settings"
_MAX_GAINS, _MAX_GAINS_PER_GROUP = 24, 12  # rows of the plot of gains
_MAX_K_PLOTS = 4  # plots of a table over k
_K_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00")  # the router, then the best baselines


def to_html(tables: Sequence[Table]) -> str:
    """The whole page, self-contained."""
    sections = [_section(table) for table in tables]
    return render("protocol.html.j2", title=_TITLE, key_figures=_key_figures(tables), how_to_read=HOW_TO_READ,
                  tables=sections)  # fmt: skip


def draw_plots(table: Table) -> list[Plot]:
    """All plots that the table has numbers for."""
    return [plot for plot in (_plot_gains(table), *_plots_over_k(table)) if plot is not None]


def _key_figures(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Pairs of a value and its label."""
    results = [one for table in tables for one in table.requirements]
    figures = [(str(len(tables)), f"tables, measured in {duration_text(sum(table.seconds for table in tables))}")]
    for aim, words in ((False, "requirements met"), (True, "aims met")):
        asked = [one for one in results if one.aim == aim]
        if asked:
            figures.append((f"{sum(one.status == MET for one in asked)} of {len(asked)}", words))
    return figures


def _section(table: Table) -> dict:
    """Variables of the template for one table."""
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "requirements": [
            [one.status, one.found or DASH, "aim" if one.aim else "required", one.text] for one in table.requirements
        ],
        "summary": summary_table(table) if table.groups else None,
        "plots": draw_plots(table),
        "groups": [
            {
                "name": group_name(group),
                "policies": policy_table(group),
                "facts": group.facts.items(),
            }
            for group in table.groups
        ],
        "facts": facts_rows(table),
    }


def _plot_gains(table: Table) -> Plot | None:
    """The router's gains over the strongest baselines of each group, at most `_MAX_GAINS` in all."""
    groups = with_largest_learnable_gains(table.groups, _MAX_GAINS)
    most = min(_MAX_GAINS_PER_GROUP, max(1, _MAX_GAINS // max(1, len(groups))))
    gains = [(group, gain) for group in groups for gain in _smallest_gains(group, most)]
    if not gains:
        return None
    several = len(groups) > 1
    names = [
        shorten(gain.against, 30) + (f"\n{shorten(group_name(group), 30)}" if several else "") for group, gain in gains
    ]
    rows = [gain for _, gain in gains]
    title = f"The router's gain: {sum(map(is_significant, rows))} of {len(rows)} differences are significant"
    caption = (
        "Right of zero, the router is better than the named policy. Lines: 95 % intervals over seeds. Grey: not "
        f"significant. At most {most} gains of a setting are shown, the smallest"
    )
    caption += "." if len(groups) == len(table.groups) else ", and the settings with the largest learnable gain."
    alt = "; ".join(f"{group_name(group)}, {gain.against}: {gain_text(gain)}" for group, gain in gains)
    label = f"gain in {' or '.join(dict.fromkeys(metric_name(group.metric) for group, _ in gains))}"
    return Plot(title, draw_paired(f"gains-{table.name}", rows, names, label, f"{title}. {alt}"), caption)


def _smallest_gains(group: Group, most: int) -> list[PairedDifference]:
    """The router's smallest gains over baselines, rising."""
    gains = [group.rows[name].gains.get(group.metric) for name in baselines(group)]
    known = [gain for gain in gains if gain is not None and math.isfinite(gain.mean)]
    return sorted(known, key=lambda gain: gain.mean)[:most]


def _plots_over_k(table: Table) -> list[Plot]:
    """A plot for each setting with several k; of many settings, those with the largest learnable gain."""
    settings = {group.setting: [one for one in table.groups if one.setting == group.setting and one.k is not None]
                for group in table.groups}  # fmt: skip
    chosen = [setting for setting in by_learnable_gain(table.groups) if len(settings[setting]) > 1][:_MAX_K_PLOTS]
    return [_plot_over_k(f"k-{table.name}-{place}", settings[setting]) for place, setting in enumerate(chosen)]


def _plot_over_k(name: str, groups: Sequence[Group]) -> Plot:
    metric, better = metric_name(groups[0].metric), "lower" if sign(groups[0].metric) < 0 else "higher"
    title = f"{groups[0].setting}: {metric} by k"
    most = len(_K_COLOURS) - 1
    caption = (
        f"{better.capitalize()} is better. Whiskers: standard deviation over seeds. Shown are the {most} best "
        "baselines. Dotted: the blind score. Dashed: the full score."
    )
    lines = {policy: [score(group, policy) for group in groups] for policy in [ROUTER, *_best_baselines(groups)]}
    alt = "; ".join(f"{policy} {', '.join(f'{one.mean:.3f}' for one in line)}" for policy, line in lines.items())
    draw = functools.partial(_draw_over_k, groups=groups, lines=lines, label=f"{metric} ({better} is better)")
    height = 3.2 + legend_height([*map(_label, lines), "fully trained", "blind"])
    return Plot(title, draw_svg(name, draw, height, f"{title}. {alt}"), caption)


def _best_baselines(groups: Sequence[Group]) -> list[str]:
    """The baselines that rank first at some k, then those that rank second, and so on."""
    orders = [[name for name in by_score(group) if name not in (ROUTER, ORACLE)] for group in groups]
    by_rank = [order[rank] for rank in range(max(map(len, orders))) for order in orders if rank < len(order)]
    return list(dict.fromkeys(by_rank))[: len(_K_COLOURS) - 1]


def _draw_over_k(axes, groups: Sequence[Group], lines: Mapping, label: str) -> None:
    places = range(len(groups))
    names = [_label(policy) for policy in lines]
    for i, (name, line, colour) in enumerate(zip(names, lines.values(), _K_COLOURS, strict=False)):
        shifted = [place + 0.04 * (i - (len(lines) - 1) / 2) for place in places]  # whiskers side by side
        style = {"color": colour} | ({"linewidth": 2.6, "zorder": 5} if i == 0 else {"linewidth": 1.4})
        means, deviations = [one.mean for one in line], [one.spread for one in line]
        axes.errorbar(shifted, means, deviations, marker="o", markersize=4, capsize=2, label=name, **style)
    for end, name, style in (("blind", "blind", (0, (1, 2))), ("full", "fully trained", (0, (5, 3)))):
        known = [getattr(group, end).mean for group in groups]
        if any(map(math.isfinite, known)):
            names.append(name)
            axes.plot(places, known, color=DARK, linewidth=1, linestyle=style, label=name)
    axes.set_xticks(places, [str(group.k) for group in groups])
    axes.set_xlabel("k")
    axes.set_ylabel(label)
    axes.grid(axis="y")
    draw_legend(axes, names)


def _label(policy: str) -> str:
    return shorten(policy, 26)
