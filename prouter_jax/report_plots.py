"""The plots of a report as SVG text: same report, same bytes.

matplotlib is imported when the first plot is drawn and only through its object API: no pyplot, no
settings left behind. Text stays text in the SVG, so that it can be searched, read aloud, and shown in
any script. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import dataclasses
import functools
import html
import io
import math
import re
import textwrap
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from prouter_jax.report import (
    ROUTER,
    PairedDifference,
    Report,
    ShareTable,
    Spread,
    UserRow,
    by_reward,
    count,
    difference,
    number,
    percent,
)

BLUE, ORANGE, GREY, DARK = "#0072B2", "#D55E00", "#A6ACB5", "#30343B"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#30343B")
HATCHES = ("", "//", "xx", "--")  # With the colours above: 32 LLMs that look different.
WIDTH = 7.4
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # A "$" in an id is a "$".
    "hatch.linewidth": 0.7,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": DARK,
    "axes.labelcolor": DARK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "grid.color": "#E6E8EB",
}
# Settings of matplotlib are global for as long as a plot is drawn.
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Plot:
    """A drawn plot: a title that says what to see, the SVG, and one sentence on how to read it."""

    title: str
    svg: str
    caption: str


def draw_plots(report: Report) -> list[Plot]:
    """All plots that the report has numbers for."""
    plots = [_reward, _effect_cost, _gain_by_user, _shares, _paired]
    return [drawn for plot in plots if (drawn := plot(report)) is not None]


def _reward(report: Report) -> Plot | None:
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
    return Plot(title, _svg("reward", draw, 0.33 * len(names) + 0.9, alt), caption)


def _draw_reward(axes, rewards: dict[str, Spread], label: str) -> None:
    names, means = list(rewards), [reward.mean for reward in rewards.values()]
    whiskers = [_whisker(reward) for reward in rewards.values()]
    ends = [mean + whisker for mean, whisker in zip(means, whiskers, strict=True)]
    look = {"color": [{ROUTER: BLUE, "oracle": DARK}.get(name, GREY) for name in names], "height": 0.7}
    if any(whiskers):
        look |= {"xerr": whiskers, "error_kw": {"ecolor": ORANGE, "capsize": 3, "elinewidth": 1.4}}
    axes.barh(range(len(names)), means, **look)
    for row, (mean, end) in enumerate(zip(means, ends, strict=True)):
        _note(axes, f"{mean:.3f}", (max(end, 0), row), (5, 0), va="center")
    if "oracle" in names:
        axes.axvline(rewards["oracle"].mean, color=DARK, linestyle=":", linewidth=1)
    axes.set_xlim(1.1 * min(0.0, *means), 1.13 * max(1e-9, *ends))
    _rows(axes, [_short(name, 26) for name in names], highlight=names.index(ROUTER) if ROUTER in names else None)
    axes.set_xlabel(f"{label} (more is better)")
    axes.grid(axis="x")


def _whisker(reward: Spread) -> float:
    return reward.spread if math.isfinite(reward.spread) else 0.0


def _effect_cost(report: Report) -> Plot | None:
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
    return Plot(title, _svg("cost", draw, 3.9, f"{title}. {'; '.join(each)}"), caption)


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
        text = f"preference {_short(labels[end], 14)}"
        _note(axes, text, (costs[end], effects[end]), (0, -8 if below else 8), **place)


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
        axes.text(1.03, height, _short(name, 26), transform=axes.transAxes, va="center", size=9, **look)


def _spread_out(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Sorted heights in [0, 1] moved up or down just so far that neighbours keep a distance."""
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    free = wanted - steps  # Whatever rises in these terms keeps the distance; both of these rise.
    above, below = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    return np.clip((above + below) / 2, 0, 1 - steps[-1]) + steps


def _gain_by_user(report: Report) -> Plot | None:
    users = [user for user in report.users if math.isfinite(_gain(user))]
    if not users:
        return None
    known = all(math.isfinite(user.preference) for user in users)
    users.sort(key=(lambda user: user.preference) if known else _gain)
    gain = np.array([_gain(user) for user in users])
    better, worse = percent(float(np.mean(gain > 0))), percent(float(np.mean(gain < 0)))
    title = f"Who gains: {better} of users do better than with the best single LLM, {worse} worse"
    caption = "How to read: one bar per user, blue up is a gain, orange down a loss; the dashed line is the mean gain."
    alt = f"{title}. Mean {gain.mean():+.4f}, from {gain.min():+.4f} to {gain.max():+.4f} over {len(users)} users"
    draw = functools.partial(_draw_gain, users=users, known=known, label=f"gain in {report.reward_name}")
    return Plot(title, _svg("users", draw, 3.6, alt), caption)


def _gain(user: UserRow) -> float:
    return user.reward - user.best_single


def _draw_gain(axes, users: list[UserRow], known: bool, label: str) -> None:
    gain = np.array([_gain(user) for user in users])
    _bars(axes, gain)
    axes.axhline(0, color=DARK, linewidth=1)
    axes.axhline(gain.mean(), color=DARK, linestyle="--", linewidth=1)
    few = len(users) <= 24  # So many can be named.
    ticks = range(len(users)) if few else np.linspace(0, len(users) - 1, 7).round().astype(int).tolist()
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if few else {}
    axes.set_xticks(ticks, [_user_label(users[row], row, few, known) for row in ticks], **turned)
    order = "preference (0 = only cost counts, 1 = only quality)" if known else "gain (preferences are unknown)"
    axes.set_xlabel(f"{len(users)} user{'s' if len(users) > 1 else ''}, sorted by {order}")
    axes.set_ylabel(textwrap.fill(label, 20))
    axes.set_xlim(-0.8, len(users) - 0.2)
    axes.grid(axis="y")


def _bars(axes, heights: np.ndarray) -> None:
    """Vertical bars as two outlines: a thousand single rectangles take most of a second."""
    half = 0.4 if len(heights) <= 100 else 0.5
    left = np.arange(len(heights)) - half
    x = np.stack([left, left, left + 2 * half, left + 2 * half], 1).ravel()
    y = np.stack([np.zeros_like(heights), heights, heights, np.zeros_like(heights)], 1).ravel()
    axes.fill_between(x, np.maximum(y, 0), color=BLUE, linewidth=0)
    axes.fill_between(x, np.minimum(y, 0), color=ORANGE, linewidth=0)


def _user_label(user: UserRow, row: int, few: bool, known: bool) -> str:
    if few:
        return _short(user.user_id, 14) + (f" ({user.preference:.2g})" if known else "")
    return f"{user.preference:.2f}" if known else f"no. {row + 1}"


def _shares(report: Report) -> Plot | None:
    shares = np.nan_to_num(np.asarray(report.shares.shares, float))
    if not shares.size:
        return None
    order = [llm for llm in np.argsort(-shares.sum(0), kind="stable").tolist() if shares[:, llm].any()]
    names = [str(report.shares.llms[llm]) for llm in order]
    short = [_short(name, 36) for name in names]
    llms = short if len(set(short)) == len(names) else [_short(name, 80) for name in names]
    never = len(report.shares.llms) - len(order)
    rest = f"; {never} of {len(report.shares.llms)} LLMs are never chosen here and left out" if never else ""
    caption = f"How to read: each row is a user, each colour (and hatching) an LLM, most chosen first{rest}."
    title = "Who gets which LLM: the router's choices user by user"
    alt = "; ".join(_top(report.shares, row, shares) for row in range(len(shares)))
    height = 0.33 * len(shares) + 0.9 + 0.22 * math.ceil(len(llms) / _columns(llms))
    users = [_short(user, 26) for user in report.shares.users]
    draw = functools.partial(_draw_shares, users=users, llms=llms, shares=shares[:, order])
    return Plot(title, _svg("shares", draw, height, f"{title}. {alt}"), caption)


def _draw_shares(axes, users: list[str], llms: list[str], shares: np.ndarray) -> None:
    ends = shares.cumsum(1)
    for llm, name in enumerate(llms):
        look = {"color": PALETTE[llm % 8], "hatch": HATCHES[llm // 8 % len(HATCHES)], "edgecolor": "white"}
        left = ends[:, llm] - shares[:, llm]
        axes.barh(range(len(users)), shares[:, llm], left=left, label=name, linewidth=0.5, **look)
        for row in np.flatnonzero(shares[:, llm] >= 0.1).tolist():
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            middle = (left[row] + shares[row, llm] / 2, row)
            _note(axes, f"{100 * shares[row, llm]:.0f} %", middle, (0, 0), ha="center", va="center", bbox=box)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    _rows(axes, users)
    axes.set_xlabel("share of the router's choices (%)")
    axes.figure.legend(loc="outside lower left", ncols=_columns(llms), frameon=False, fontsize=9)


def _columns(names: list[str]) -> int:
    """How many columns of a legend fit."""
    return max(1, min(len(names), int(WIDTH / (0.07 * max(map(len, names), default=1) + 0.6))))


def _top(table: ShareTable, row: int, shares: np.ndarray) -> str:
    best = int(shares[row].argmax())
    return f"{table.users[row]}: mostly {table.llms[best]} ({percent(float(shares[row, best]))})"


def _paired(report: Report) -> Plot | None:
    rows = [row for row in report.paired if math.isfinite(row.mean)]
    if not rows:
        return None
    title = f"Gain or chance: {sum(map(_clear, rows))} of {len(rows)} differences are beyond chance"
    caption = "How to read: right of zero the first policy is better; a grey line that crosses zero may be chance."
    alt = "; ".join(f"{row.policy} minus {row.against}: {difference(row)}" for row in rows)
    draw = functools.partial(_draw_paired, rows=rows, label=f"difference in {report.reward_name} per test decision")
    return Plot(title, _svg("paired", draw, 0.46 * len(rows) + 0.8, f"{title}. {alt}"), caption)


def _draw_paired(axes, rows: list[PairedDifference], label: str) -> None:
    for place, row in enumerate(rows):
        colour = (BLUE if row.mean > 0 else ORANGE) if _clear(row) else "#6B7280"
        if math.isfinite(row.high - row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(row.mean, place, "o", color=colour, markersize=7)
        _note(axes, number(row.mean, sign=True), (row.mean, place), (0, 6), ha="center")
    axes.axvline(0, color=DARK, linewidth=1)
    axes.margins(0.08, 0)
    _rows(axes, [f"{_short(r.policy, 22)} − {_short(r.against, 22)}\n{count(r)}" for r in rows])  # noqa: RUF001
    axes.set_xlabel(label)
    axes.grid(axis="x")


def _clear(row: PairedDifference) -> bool:
    return row.low > 0 or row.high < 0


def _rows(axes, names: list[str], highlight: int | None = None) -> None:
    """Names at the left, first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    if highlight is not None:
        axes.get_yticklabels()[highlight].set(color=BLUE, weight="bold")


def _note(axes, text: str, point: tuple[float, float], offset: tuple[float, float], **look) -> None:
    """Small text beside a point; it lies inside the axes, so the layout need not wait for its measures."""
    axes.annotate(text, point, offset, textcoords="offset points", size=8, in_layout=False, **look)


def _short(text: str, most: int) -> str:
    """One line of at most so many characters, cut in the middle: long ids differ at their ends."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"


def _svg(name: str, draw: Callable, height: float, label: str) -> str:
    """Draws a figure and returns it as an `<svg>` element with a label for those who cannot see it."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _LOCK, matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        # A glyph that matplotlib lacks is one that the browser has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        draw(figure.add_subplot())
        out = io.StringIO()
        # Not figure.savefig: it draws everything once more beforehand.
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(out.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG file as a part of a page: without prologue, its ids its own among those of other plots."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
