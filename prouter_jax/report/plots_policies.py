"""Draws the plots of a report that compare policies: rewards, answer quality against cost, and paired differences.

A policy is a rule that picks an LLM for a query: the router or a baseline. Effect is answer quality in [0, 1].
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prouter_jax.io.display import number
from prouter_jax.report.plots import BLUE, DARK, GREY, ORANGE, Plot, annotate, draw_svg, name_rows, shorten
from prouter_jax.report.text import by_reward, difference_text, is_significant, sample_text
from prouter_jax.report.types import ROUTER, PairedDifference, Report, SeedStatistics


def plot_reward(report: Report) -> Plot | None:
    """Bars of the mean reward of each policy; None if no policy has a reward."""
    names = [name for name in by_reward(report) if math.isfinite(report.policies[name].reward.mean)]
    if not names:
        return None
    rewards = {name: report.policies[name].reward for name in names}
    compared = [name for name in names if name != "oracle"]
    rank = f": the router ranks {compared.index(ROUTER) + 1} of {len(compared)}" if ROUTER in compared else ""
    title = f"{report.reward_name[:1].upper()}{report.reward_name[1:]} by policy{rank}"
    caption = "Longer bars are better. Blue: the router."
    if "oracle" in names:
        caption += " Dotted line: the oracle, an upper bound that is not ranked."
    if any(map(_whisker, rewards.values())):
        caption += " Orange whiskers: standard deviation over seeds."
    alt = f"{title}. " + "; ".join(f"{name} {reward.mean:.3f}" for name, reward in rewards.items())
    draw = functools.partial(_draw_reward, rewards=rewards, label=f"{report.reward_name} (more is better)")
    return Plot(title, draw_svg("reward", draw, 0.3 * len(names) + 0.8, alt), caption)


def plot_effect_cost(report: Report) -> Plot | None:
    """Answer quality against cost of each policy and of the router at each preference; None if no policy has both."""
    points = {name: (1000 * result.cost.mean, result.effect.mean) for name, result in report.policies.items()}
    points = {name: point for name, point in points.items() if np.isfinite(point).all()}
    if not points:
        return None
    frontier = [(1000 * point.cost, point.effect, point.preference) for point in report.frontier]
    frontier = [point for point in frontier if np.isfinite(point[:2]).all()]
    caption = "Higher is better, further left is cheaper. Grey lines connect the points with their names."
    if len(frontier) > 1:
        caption += " Blue line: the router at different preferences between cost and quality."
    title = "Answer quality and cost of each policy"
    each = (f"{name} effect {effect:.3f} at {cost:.4g} USD" for name, (cost, effect) in points.items())
    draw = functools.partial(_draw_effect_cost, points=points, frontier=frontier)
    return Plot(title, draw_svg("cost", draw, 3.6, f"{title}. {'; '.join(each)}"), caption)


def plot_paired(report: Report) -> Plot | None:
    """Paired differences between policies with their intervals; None if there are no differences."""
    rows = [row for row in report.paired if math.isfinite(row.mean)]
    if not rows:
        return None
    title = f"Paired differences: {sum(map(is_significant, rows))} of {len(rows)} are significant"
    names = [f"{shorten(row.policy, 20)} −\n{shorten(row.against, 20)}" for row in rows]  # noqa: RUF001
    samples = sorted(set(map(sample_text, rows)))
    if len(samples) > 1:
        names = [f"{name}\n({sample_text(row)})" for name, row in zip(names, rows, strict=True)]
    over = f" over {samples[0]}" if len(samples) == 1 else ""
    caption = f"Right of zero, the first policy is better. Lines: 95 % intervals{over}."
    caption += "" if all(map(is_significant, rows)) else " Grey: not significant."
    alt = "; ".join(f"{row.policy} minus {row.against}: {difference_text(row)}" for row in rows)
    label = f"difference in {report.reward_name}"
    return Plot(title, draw_paired("paired", rows, names, label, f"{title}. {alt}"), caption)


def draw_paired(name: str, rows: Sequence[PairedDifference], names: list[str], label: str, alt: str) -> str:
    """An `<svg>` of differences with their intervals: blue a significant gain, orange a significant loss, else grey.

    Args:
      name: name of the plot, unique in its page; see `draw_svg`.
      rows: one difference a row, the first on top.
      names: labels of the rows, all with the same number of lines.
    """
    draw = functools.partial(_draw_paired, rows=rows, names=names, label=label)
    lines = names[0].count("\n") + 1
    return draw_svg(name, draw, (0.15 + 0.16 * lines) * len(rows) + 0.8, alt)


def _draw_reward(axes, rewards: dict[str, SeedStatistics], label: str) -> None:
    names, means = list(rewards), [reward.mean for reward in rewards.values()]
    whiskers = [_whisker(reward) for reward in rewards.values()]
    ends = [mean + whisker for mean, whisker in zip(means, whiskers, strict=True)]
    style = {"color": [{ROUTER: BLUE, "oracle": DARK}.get(name, GREY) for name in names], "height": 0.7}
    if any(whiskers):
        style |= {"xerr": whiskers, "error_kw": {"ecolor": ORANGE, "capsize": 3, "elinewidth": 1.4}}
    axes.barh(range(len(names)), means, **style)
    for row, (mean, end) in enumerate(zip(means, ends, strict=True)):
        annotate(axes, f"{mean:.3f}", (max(end, 0), row), (5, 0), va="center")
    if "oracle" in names:
        axes.axvline(rewards["oracle"].mean, color=DARK, linestyle=":", linewidth=1)
    axes.set_xlim(1.1 * min(0.0, *means), 1.15 * max(1e-9, *ends))
    name_rows(axes, [shorten(name, 26) for name in names], highlight=names.index(ROUTER) if ROUTER in names else None)
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
    axes.set_ylabel("effect (answer quality, 0 to 1)")
    axes.grid()


def _draw_frontier(axes, frontier: list[tuple[float, float, str]]) -> None:
    """The line of the router from one preference to the next; only its ends have labels, as points may be close."""
    if not frontier:
        return
    costs, effects, labels = zip(*frontier, strict=True)
    axes.plot(costs, effects, color="#56B4E9", marker="o", markersize=4, linewidth=1.6, zorder=3)
    for end in sorted({0, len(labels) - 1}):
        below = effects[end] <= min(effects)
        style = {"ha": "center", "va": "top" if below else "bottom", "color": BLUE}
        text = f"preference {shorten(labels[end], 14)}"
        annotate(axes, text, (costs[end], effects[end]), (0, -8 if below else 8), **style)


def _draw_names_at_right(axes, points: dict[str, tuple[float, float]]) -> None:
    """Names in a column at the right, ordered by the heights of their points, so that they never overlap."""
    axes.set_xlim(axes.get_xlim())  # Freezes the limits, which the lines to the names would enlarge.
    low, high = axes.set_ylim(axes.get_ylim())
    to_data = (axes.transScale + axes.transLimits).inverted().transform
    order = sorted(points, key=lambda name: (points[name][1], name))
    wanted = np.array([(points[name][1] - low) / (high - low) for name in order])
    for name, height in zip(order, _keep_distance(wanted, gap=0.07), strict=True):
        end = to_data((1.025, height))
        axes.plot(*zip(points[name], end, strict=True), color=GREY, linewidth=0.7, clip_on=False, zorder=2)
        style = {"color": BLUE, "weight": "bold"} if name == ROUTER else {}
        axes.text(1.03, height, shorten(name, 22), transform=axes.transAxes, va="center", size=9, **style)


def _keep_distance(wanted: Float[np.ndarray, " n"], gap: float) -> Float[np.ndarray, " n"]:
    """Sorted heights in [0, 1], moved so that neighbours are at least `gap` apart, by the smallest maximal shift."""
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    free = wanted - steps  # After subtracting the steps, "at least `gap` apart" means "non-decreasing".
    # The least non-decreasing upper bound and the greatest lower bound; their middle is taken.
    above, below = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    return np.clip((above + below) / 2, 0, 1 - steps[-1]) + steps


def _draw_paired(axes, rows: Sequence[PairedDifference], names: list[str], label: str) -> None:
    for place, row in enumerate(rows):
        colour = (BLUE if row.mean > 0 else ORANGE) if is_significant(row) else "#6B7280"
        if math.isfinite(row.high - row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(row.mean, place, "o", color=colour, markersize=7)
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        annotate(axes, number(row.mean, sign=True), (row.mean, place), (0, 6), ha="center", bbox=background)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.margins(0.08, 0)
    axes.locator_params(axis="x", nbins=5)
    name_rows(axes, names)
    axes.set_xlabel(label)
    axes.grid(axis="x")
