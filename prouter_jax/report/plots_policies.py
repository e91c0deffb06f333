"""Plots that compare policies: their rewards, quality against cost, and paired differences."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from prouter_jax.io.numbers import number
from prouter_jax.report.drawing import BLUE, DARK, GREY, ORANGE, Plot, draw_svg, name_rows, note, shorten
from prouter_jax.report.types import ROUTER, PairedDifference, Report, Spread
from prouter_jax.report.words import by_reward, count, difference


def plot_reward(report: Report) -> Plot | None:
    names = [name for name in by_reward(report) if math.isfinite(report.policies[name].reward.mean)]
    if not names:
        return None
    rewards = {name: report.policies[name].reward for name in names}
    seeds = "; orange whiskers show the standard deviation over seeds" if any(map(_whisker, rewards.values())) else ""
    oracle = "; the dotted line is the oracle, which nobody can beat" if "oracle" in names else ""
    caption = f"How to read: a longer bar is a better policy; blue is the router{oracle}{seeds}."
    real = [name for name in names if name != "oracle"]
    place = f": the router is number {real.index(ROUTER) + 1} of {len(real)}, oracle aside" if ROUTER in real else ""
    title = f"Which policy earns most{place}"
    alt = f"{title}. " + "; ".join(f"{name} {reward.mean:.3f}" for name, reward in rewards.items())
    draw = functools.partial(_draw_reward, rewards=rewards, label=f"{report.reward_name} per test decision")
    return Plot(title, draw_svg("reward", draw, 0.33 * len(names) + 0.9, alt), caption)


def _draw_reward(axes, rewards: dict[str, Spread], label: str) -> None:
    names, means = list(rewards), [reward.mean for reward in rewards.values()]
    whiskers = [_whisker(reward) for reward in rewards.values()]
    ends = [mean + whisker for mean, whisker in zip(means, whiskers, strict=True)]
    look = {"color": [{ROUTER: BLUE, "oracle": DARK}.get(name, GREY) for name in names], "height": 0.7}
    if any(whiskers):
        look |= {"xerr": whiskers, "error_kw": {"ecolor": ORANGE, "capsize": 3, "elinewidth": 1.4}}
    axes.barh(range(len(names)), means, **look)
    for row, (mean, end) in enumerate(zip(means, ends, strict=True)):
        note(axes, f"{mean:.3f}", (max(end, 0), row), (5, 0), va="center")
    if "oracle" in names:
        axes.axvline(rewards["oracle"].mean, color=DARK, linestyle=":", linewidth=1)
    axes.set_xlim(1.1 * min(0.0, *means), 1.13 * max(1e-9, *ends))
    name_rows(axes, [shorten(name, 26) for name in names], highlight=names.index(ROUTER) if ROUTER in names else None)
    axes.set_xlabel(f"{label} (more is better)")
    axes.grid(axis="x")


def _whisker(reward: Spread) -> float:
    return reward.spread if math.isfinite(reward.spread) else 0.0


def plot_effect_cost(report: Report) -> Plot | None:
    points = {name: (1000 * result.cost.mean, result.effect.mean) for name, result in report.policies.items()}
    points = {name: point for name, point in points.items() if np.isfinite(point).all()}
    if not points:
        return None
    frontier = [(1000 * point.cost, point.effect, point.preference) for point in report.frontier]
    frontier = [point for point in frontier if np.isfinite(point[:2]).all()]
    line = "; the blue line is what the router reaches at different preferences" if len(frontier) > 1 else ""
    caption = f"How to read: further up is better, further left is cheaper{line}; thin lines lead to the names."
    title = "What quality costs: each policy's answer quality against its cost"
    each = (f"{name} effect {effect:.3f} at {cost:.4g} USD" for name, (cost, effect) in points.items())
    draw = functools.partial(_draw_effect_cost, points=points, frontier=frontier)
    return Plot(title, draw_svg("cost", draw, 3.9, f"{title}. {'; '.join(each)}"), caption)


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
    _label_column(axes, points)
    axes.set_xlabel(f"cost (USD per 1000 queries{', log scale' if wide else ''})")
    axes.set_ylabel("effect (answer quality, 0 to 1)")
    axes.grid()


def _draw_frontier(axes, frontier: list[tuple[float, float, str]]) -> None:
    """The line through the preferences; only its ends are named, the points between are often too close."""
    if not frontier:
        return
    costs, effects, labels = zip(*frontier, strict=True)
    axes.plot(costs, effects, color="#56B4E9", marker="o", markersize=4, linewidth=1.6, zorder=3)
    for end in sorted({0, len(labels) - 1}):
        below = effects[end] <= min(effects)
        place = {"ha": "center", "va": "top" if below else "bottom", "color": BLUE}
        text = f"preference {shorten(labels[end], 14)}"
        note(axes, text, (costs[end], effects[end]), (0, -8 if below else 8), **place)


def _label_column(axes, points: dict[str, tuple[float, float]]) -> None:
    """Names in a column at the right, in the order of their points' heights: they never overlap."""
    axes.set_xlim(axes.get_xlim())  # Fixed from here: the lines to the names reach out of the axes.
    low, high = axes.set_ylim(axes.get_ylim())
    to_data = (axes.transScale + axes.transLimits).inverted().transform
    order = sorted(points, key=lambda name: (points[name][1], name))
    wanted = np.array([(points[name][1] - low) / (high - low) for name in order])
    for name, height in zip(order, _spread_out(wanted, gap=0.065), strict=True):
        end = to_data((1.025, height))
        axes.plot(*zip(points[name], end, strict=True), color=GREY, linewidth=0.7, clip_on=False, zorder=2)
        look = {"color": BLUE, "weight": "bold"} if name == ROUTER else {}
        axes.text(1.03, height, shorten(name, 26), transform=axes.transAxes, va="center", size=9, **look)


def _spread_out(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Sorted heights in [0, 1] moved up or down just so far that neighbours keep a distance."""
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    free = wanted - steps  # Whatever rises in these terms keeps the distance; both of these rise.
    above, below = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    return np.clip((above + below) / 2, 0, 1 - steps[-1]) + steps


def plot_paired(report: Report) -> Plot | None:
    rows = [row for row in report.paired if math.isfinite(row.mean)]
    if not rows:
        return None
    title = f"Gain or chance: {sum(map(beyond_chance, rows))} of {len(rows)} differences are beyond chance"
    caption = "How to read: right of zero the first policy is better; a grey line that crosses zero may be chance."
    alt = "; ".join(f"{row.policy} minus {row.against}: {difference(row)}" for row in rows)
    names = [f"{shorten(r.policy, 22)} − {shorten(r.against, 22)}\n{count(r)}" for r in rows]  # noqa: RUF001
    label = f"difference in {report.reward_name} per test decision"
    draw = functools.partial(draw_paired, rows=rows, names=names, label=label)
    return Plot(title, draw_svg("paired", draw, 0.46 * len(rows) + 0.8, f"{title}. {alt}"), caption)


def draw_paired(axes, rows: Sequence[PairedDifference], names: list[str], label: str) -> None:
    """Differences with their intervals, one under the other: blue a gain, orange a loss, grey what may be chance."""
    for place, row in enumerate(rows):
        colour = (BLUE if row.mean > 0 else ORANGE) if beyond_chance(row) else "#6B7280"
        if math.isfinite(row.high - row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(row.mean, place, "o", color=colour, markersize=7)
        note(axes, number(row.mean, sign=True), (row.mean, place), (0, 6), ha="center")
    axes.axvline(0, color=DARK, linewidth=1)
    axes.margins(0.08, 0)
    name_rows(axes, names)
    axes.set_xlabel(label)
    axes.grid(axis="x")


def beyond_chance(row: PairedDifference) -> bool:
    """Whether the interval leaves out zero."""
    return row.low > 0 or row.high < 0
