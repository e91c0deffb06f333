"""Draws the plots of a report that compare policies: rewards, answer quality against cost, and paired differences.

A policy is a rule that picks an LLM for a query: the router or a baseline. Effect is answer quality in [0, 1].
"""

import functools
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prouter_jax.io.display import dollars, number
from prouter_jax.report.names import is_significant, relation, sample_text, title_of
from prouter_jax.report.plots import BLUE, DARK, GREY, ORANGE, Plot, annotate, draw_svg, name_rows, shorten
from prouter_jax.report.text import STYLE_NOTE, by_reward, difference_text, notes, value_text, widest_difference
from prouter_jax.report.types import MATCHED, ROUTER, LogComparison, PairedDifference, Report, SeedStatistics


def plot_reward(report: Report) -> Plot | None:
    """Bars of the mean reward of each policy; None if no policy has a reward."""
    names = [name for name in by_reward(report) if math.isfinite(report.policies[name].reward.mean)]
    if not names:
        return None
    rewards = {name: report.policies[name].reward for name in names}
    title = f"{report.reward_name[:1].upper()}{report.reward_name[1:]} by policy"
    caption = "Longer bars are better. Blue: the router. The numbers are in the table of all policies."
    if "oracle" in names:
        caption += " Dotted line: perfect choices, known only afterwards; an upper bound."
    if any(map(_whisker, rewards.values())):
        caption += " Orange whiskers: standard deviation over seeds."
    alt = f"{title}. " + "; ".join(f"{title_of(name)} {value_text(report, r.mean)}" for name, r in rewards.items())
    draw = functools.partial(
        _draw_reward, rewards=rewards, label=report.reward_name, share=report.reward_name == MATCHED
    )
    return Plot(title, draw_svg("reward", draw, 0.3 * len(names) + 0.8, alt), caption)


def plot_effect_cost(report: Report) -> Plot | None:
    """Answer quality against cost of each policy and of the router at each preference; None if no policy has both."""
    points = {name: (1000 * result.cost.mean, result.effect.mean) for name, result in report.policies.items()}
    points = {name: point for name, point in points.items() if np.isfinite(point).all()}
    if not points:
        return None
    frontier = [(1000 * point.cost, point.effect, point.preference) for point in report.frontier]
    frontier = [point for point in frontier if np.isfinite(point[:2]).all()]
    caption = "Higher: better answers. Further left: cheaper. Grey lines connect the points with their names."
    if len(frontier) > 1:
        caption += " Blue line: the router at different preferences between cost and quality."
    caption += " Neither is what these users chose by." if STYLE_NOTE in notes(report) else ""
    title = "Answer quality and cost of each policy"
    each = (
        f"{title_of(name)} quality {effect:.3f} at {dollars(cost / 1000)} USD"
        for name, (cost, effect) in points.items()
    )
    draw = functools.partial(_draw_effect_cost, points=points, frontier=frontier)
    return Plot(title, draw_svg("cost", draw, 4.4, f"{title}. {'; '.join(each)}"), caption)


def plot_paired(report: Report) -> Plot | None:
    """The router's difference to each policy but perfect choices, with intervals; None if there are no differences."""
    names = [name for name in by_reward(report) if name not in (ROUTER, "oracle")]
    found = [widest_difference(report, name) for name in names]
    rows = [row for row in found if row is not None and math.isfinite(row.mean)]
    alt = [f"{title_of(row.against)}: {difference_text(report, row)}" for row in rows]
    return _plot_gains(rows, f"gain in {report.reward_name}", alt, percent=report.reward_name == MATCHED)


def plot_log(log: LogComparison) -> Plot | None:
    """The router's difference to each policy on a log, with intervals; None if there are no differences."""
    rows = [value.gain for value in log.values if value.gain is not None]
    alt = [f"{title_of(row.against)}: {number(row.mean, sign=True, decimals=3)}" for row in rows]
    return _plot_gains(rows, "gain in estimated reward", alt)


def _plot_gains(rows: list[PairedDifference], label: str, each: list[str], percent: bool = False) -> Plot | None:
    if not rows:
        return None
    names = [shorten(title_of(row.against), 32) for row in rows]
    samples = sorted(set(map(sample_text, rows)))
    if len(samples) > 1:
        names = [f"{name}\n({sample_text(row)})" for name, row in zip(names, rows, strict=True)]
    caption = (
        "Right of zero, the router is better. Lines: 95 % intervals. The numbers are in the table of all policies."
    )
    caption += "" if all(map(is_significant, rows)) else " Grey: level, the interval holds 0."
    title = f"The router against each policy: {_tally(rows)}"
    drawn = draw_paired("paired", rows, names, label, f"{title}. {'; '.join(each)}", labelled=False, percent=percent)
    return Plot(title, drawn, caption)


def _tally(rows: list[PairedDifference]) -> str:
    """`better than 6, level with 1`."""
    found = [relation(row) for row in rows]
    words = ("better than", "level with", "the same as", "worse than", "not yet comparable with")
    return ", ".join(f"{word} {found.count(word)}" for word in words if word in found)


def draw_paired(
    name: str,
    rows: Sequence[PairedDifference],
    names: list[str],
    label: str,
    alt: str,
    labelled: bool = True,
    percent: bool = False,
) -> str:
    """An `<svg>` of differences with their intervals: blue a significant gain, orange a significant loss, else grey.

    Args:
      name: name of the plot, unique in its page; see `draw_svg`.
      rows: one difference a row, the first on top.
      names: labels of the rows, all with the same number of lines.
      labelled: whether each difference is written beside its point.
      percent: whether the axis is in per cent.
    """
    draw = functools.partial(_draw_paired, rows=rows, names=names, label=label, labelled=labelled, percent=percent)
    lines = names[0].count("\n") + 1
    return draw_svg(name, draw, (0.15 + 0.16 * lines) * len(rows) + 0.8, alt)


def _draw_reward(axes, rewards: dict[str, SeedStatistics], label: str, share: bool) -> None:
    names, means = list(rewards), [reward.mean for reward in rewards.values()]
    whiskers = [_whisker(reward) for reward in rewards.values()]
    ends = [mean + whisker for mean, whisker in zip(means, whiskers, strict=True)]
    style = {"color": [{ROUTER: BLUE, "oracle": DARK}.get(name, GREY) for name in names], "height": 0.7}
    if any(whiskers):
        style |= {"xerr": whiskers, "error_kw": {"ecolor": ORANGE, "capsize": 3, "elinewidth": 1.4}}
    axes.barh(range(len(names)), means, **style)
    if "oracle" in names:
        axes.axvline(rewards["oracle"].mean, color=DARK, linestyle=":", linewidth=1)
    axes.set_xlim(1.1 * min(0.0, *means), 1.05 * max(1e-9, *ends))
    if share:
        axes.xaxis.set_major_formatter(_percent)
    name_rows(
        axes,
        [shorten(title_of(name), 32) for name in names],
        highlight=names.index(ROUTER) if ROUTER in names else None,
    )
    axes.set_xlabel(label)
    axes.grid(axis="x")


def _whisker(reward: SeedStatistics) -> float:
    return reward.spread if math.isfinite(reward.spread) else 0.0


def _draw_effect_cost(axes, points: dict[str, tuple[float, float]], frontier: list[tuple[float, float, str]]) -> None:
    for name, point in points.items():
        colour, size, order = (BLUE, 90, 5) if name == ROUTER else (DARK, 36, 4)
        axes.scatter(*point, s=size, color=colour, edgecolor="white", zorder=order)
    costs = [cost for cost, *_ in [*points.values(), *frontier]]
    wide = min(costs) > 0 and max(costs) > 20 * min(costs)
    if wide:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.margins(0.08, 0.12)
    _draw_frontier(axes, frontier)
    _draw_names_at_right(axes, points)
    axes.set_xlabel(f"cost (USD per 1000 queries{', log scale' if wide else ''})")
    axes.set_ylabel("answer quality, 0 to 1")
    axes.grid()


def _draw_frontier(axes, frontier: list[tuple[float, float, str]]) -> None:
    """The line of the router from one preference to the next; only its ends have labels, as points may be close."""
    if not frontier:
        return
    costs, effects, labels = zip(*frontier, strict=True)
    axes.plot(costs, effects, color="#56B4E9", marker="o", markersize=4, linewidth=1.6, zorder=3)
    for end in sorted({0, len(labels) - 1}):
        below = effects[end] <= min(effects)
        side = "right" if end and len(labels) > 1 else "center"  # at the right end stand the names
        style = {"ha": side, "va": "top" if below else "bottom", "color": BLUE}
        text = f"preference {shorten(labels[end], 14)}"
        annotate(axes, text, (costs[end], effects[end]), (0, -8 if below else 8), **style)


def _draw_names_at_right(axes, points: dict[str, tuple[float, float]]) -> None:
    """Names in a column at the right, ordered by the heights of their points, so that they never overlap."""
    axes.set_xlim(axes.get_xlim())  # Freezes the limits, which the lines to the names would enlarge.
    low, high = axes.set_ylim(axes.get_ylim())
    to_data = (axes.transScale + axes.transLimits).inverted().transform
    order = sorted(points, key=lambda name: (points[name][1], name))
    wanted = np.array([(points[name][1] - low) / (high - low) for name in order])
    for name, height in zip(order, _keep_distance(wanted, gap=0.1), strict=True):
        end = to_data((1.025, height))
        axes.plot(*zip(points[name], end, strict=True), color=GREY, linewidth=0.7, clip_on=False, zorder=2)
        style = {"color": BLUE, "weight": "bold"} if name == ROUTER else {}
        axes.text(1.03, height, _two_lines(name), transform=axes.transAxes, va="center", size=9, **style)


def _keep_distance(wanted: Float[np.ndarray, " n"], gap: float) -> Float[np.ndarray, " n"]:
    """Sorted heights in [0, 1], moved so that neighbours are at least `gap` apart, by the smallest maximal shift."""
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    free = wanted - steps  # After subtracting the steps, "at least `gap` apart" means "non-decreasing".
    # The least non-decreasing upper bound and the greatest lower bound; their middle is taken.
    above, below = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    return np.clip((above + below) / 2, 0, 1 - steps[-1]) + steps


def _draw_paired(
    axes, rows: Sequence[PairedDifference], names: list[str], label: str, labelled: bool, percent: bool
) -> None:
    for place, row in enumerate(rows):
        colour = (BLUE if row.mean > 0 else ORANGE) if is_significant(row) else "#6B7280"
        if math.isfinite(row.high - row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(row.mean, place, "o", color=colour, markersize=7)
        if labelled:
            background = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            annotate(axes, number(row.mean, sign=True), (row.mean, place), (0, 6), ha="center", bbox=background)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.margins(0.08, 0)
    axes.locator_params(axis="x", nbins=5)
    if percent:
        axes.xaxis.set_major_formatter(_percent)
    name_rows(axes, names)
    axes.set_xlabel(label)
    axes.grid(axis="x")


def _percent(value: float, _: int) -> str:
    return f"{100 * value:.0f} %"


def _two_lines(policy: str) -> str:
    """A policy in words, in lines short enough for the right margin."""
    return textwrap.fill(shorten(title_of(policy), 32), 18)
