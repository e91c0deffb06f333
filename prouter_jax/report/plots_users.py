"""Plots of single users: who gains, which LLM each user gets, and a map of similar users."""

import functools
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prouter_jax.io.display import percent
from prouter_jax.report.plots import (
    BLUE,
    DARK,
    ORANGE,
    PALETTE,
    Plot,
    annotate,
    draw_legend,
    draw_svg,
    legend_height,
    name_rows,
    shorten,
)
from prouter_jax.report.types import MATCHED, Report, ShareTable, UserMap, UserRow

_HATCHES = ("", "//", "xx", "--")  # With the colours of the palette: 32 LLMs that look different.
_MARKERS = ("o", "^", "s", "D")  # The same on the map.
_MOST_BARS = 500  # more would be thinner than a pixel, and 60 MB of page for 100,000 users
_SCALE = ("#440154", "#3B528B", "#21918C", "#5EC962", "#E8C500")  # From cost to quality, by lightness.


def plot_gain_by_user(report: Report) -> Plot | None:
    """A bar of the gain over the best single LLM for each user; None if no gain is known."""
    users = [user for user in report.users if math.isfinite(_gain(user))]
    if not users:
        return None
    known = all(math.isfinite(user.preference) for user in users)
    users.sort(key=(lambda user: user.preference) if known else _gain)
    gain = np.array([_gain(user) for user in users])
    better, worse = percent(float(np.mean(gain > 0))), percent(float(np.mean(gain < 0)))
    title = f"Gain by user: {better} of users do better than with the best single LLM, {worse} do worse"
    each = _users_of_a_bar(len(users))
    caption = "One bar per user." if each == 1 else f"Each bar is the mean of {each} users who follow each other."
    caption += " Blue: a gain over the best single LLM."
    caption += " Orange: a loss." if any(_gain(user) < 0 for user in users) else ""
    caption += " Dashed line: the mean gain."
    if known:
        caption += " A preference of 0 means that only cost counts, 1 that only quality counts."
    alt = f"{title}. Mean {gain.mean():+.4f}, from {gain.min():+.4f} to {gain.max():+.4f} over {len(users)} users"
    share = report.reward_name == MATCHED
    draw = functools.partial(_draw_gain, users=users, known=known, label=f"gain in {report.reward_name}", share=share)
    return Plot(title, draw_svg("users", draw, 3.4, alt), caption)


def plot_shares(report: Report) -> Plot | None:
    """Stacked bars of the router's choices, a row for each user; None without choices."""
    shares = np.nan_to_num(np.asarray(report.shares.shares, float))
    if not shares.size:
        return None
    order = [llm for llm in _by_share(report.shares) if shares[:, llm].any()]
    names = [str(report.shares.llms[llm]) for llm in order]
    short = [shorten(name, 36) for name in names]
    llms = short if len(set(short)) == len(names) else [shorten(name, 80) for name in names]
    kinds = "Each colour" if len(order) <= len(PALETTE) else "Each colour with its hatching"
    caption = f"Each row is a user. {kinds} is an LLM, the most chosen first."
    if len(order) < len(report.shares.llms):
        never = f"{len(report.shares.llms) - len(order)} of {len(report.shares.llms)}"
        caption += f" Left out: {never} LLMs that are never chosen for these users."
    title = "The router's choices by user"
    alt = "; ".join(_top(report.shares, row, shares) for row in range(len(shares)))
    users = [shorten(user.replace(" (preference ", " ("), 18) for user in report.shares.users]
    if any(" (preference " in user for user in report.shares.users):
        caption += " In brackets: the preference between cost, 0, and quality, 1."
    draw = functools.partial(_draw_shares, users=users, llms=llms, shares=shares[:, order])
    height = 0.33 * len(shares) + 0.9 + legend_height(llms)
    return Plot(title, draw_svg("shares", draw, height, f"{title}. {alt}"), caption)


def plot_user_map(report: Report) -> Plot | None:
    """Users on their first two principal components, coloured by preference or favourite LLM; None without a map."""
    users = report.user_map
    if users is None:
        return None
    known = bool(np.isfinite(users.preference).all())
    llms = [str(report.shares.llms[llm]) for llm in _by_share(report.shares)] if len(report.shares.users) else []
    groups = _bands(users.preference) if known else _favourites(users.favourite, llms)
    title = f"Map of {len(users.users)} users by what the router has learned of them"
    explained = " and ".join(map(percent, users.explained_variance))
    caption = (
        "Each dot is a user. Users who are close together want similar answers. The axes are the first two "
        f"principal components; they explain {explained} of the variance between users. Colour: "
    )
    caption += "planted preference, from cost to quality." if known else "the LLM with the most positive feedback."
    if known and len(users.users) >= 10:
        caption += f" The position on the map explains {percent(_explained(users))} of the variance of the preference."
    alt = f"{title}. " + "; ".join(f"{name}: {len(rows)}" for name, rows in groups if len(rows))
    names = [shorten(name, 36) for name, _ in groups]
    draw = functools.partial(_draw_map, users=users, groups=list(zip(names, groups, strict=True)), known=known)
    return Plot(title, draw_svg("map", draw, 4.2 + legend_height(names), alt), caption)


def _gain(user: UserRow) -> float:
    return user.reward - user.best_single


def _draw_gain(axes, users: list[UserRow], known: bool, label: str, share: bool) -> None:
    gain = np.array([_gain(user) for user in users])
    _bars(axes, gain)
    axes.axhline(0, color=DARK, linewidth=1)
    axes.axhline(gain.mean(), color=DARK, linestyle="--", linewidth=1)
    few = len(users) <= 24  # There is room for their names.
    ticks = range(len(users)) if few else np.linspace(0, len(users) - 1, 7).round().astype(int).tolist()
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if few else {}
    axes.set_xticks(ticks, [_user_label(users[row], row, few, known) for row in ticks], **turned)
    axes.set_xlabel(f"{len(users)} user{'s' if len(users) > 1 else ''}, sorted by {'preference' if known else 'gain'}")
    axes.set_ylabel(textwrap.fill(label, 20))
    if share:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlim(-0.8, len(users) - 0.2)
    axes.grid(axis="y")


def _users_of_a_bar(users: int) -> int:
    return -(-users // _MOST_BARS)


def _bars(axes, values: np.ndarray) -> None:
    """Vertical bars as two outlines: a thousand single rectangles take most of a second."""
    each = _users_of_a_bar(len(values))
    starts = np.arange(0, len(values), each)
    ends = np.minimum(starts + each, len(values))
    heights = np.add.reduceat(values, starts) / (ends - starts)
    half = 0.4 if len(heights) <= 100 else 0.5
    left, right = starts - half, ends - 1 + half
    x = np.stack([left, left, right, right], 1).ravel()
    y = np.stack([np.zeros_like(heights), heights, heights, np.zeros_like(heights)], 1).ravel()
    axes.fill_between(x, np.maximum(y, 0), color=BLUE, linewidth=0)
    axes.fill_between(x, np.minimum(y, 0), color=ORANGE, linewidth=0)


def _user_label(user: UserRow, row: int, few: bool, known: bool) -> str:
    if few:
        return shorten(user.user_id, 14) + (f" ({user.preference:.2g})" if known else "")
    return f"{user.preference:.2f}" if known else f"no. {row + 1}"


def _by_share(table: ShareTable) -> list[int]:
    """Indices of the LLMs, most chosen first: the order of their colours in every plot."""
    return np.argsort(-np.nan_to_num(np.asarray(table.shares, float)).sum(0), kind="stable").tolist()


def _draw_shares(axes, users: list[str], llms: list[str], shares: np.ndarray) -> None:
    ends = shares.cumsum(1)
    for llm, name in enumerate(llms):
        style = {"color": PALETTE[llm % 8], "hatch": _HATCHES[llm // 8 % len(_HATCHES)], "edgecolor": "white"}
        left = ends[:, llm] - shares[:, llm]
        axes.barh(range(len(users)), shares[:, llm], left=left, label=name, linewidth=0.5, **style)
        for row in np.flatnonzero(shares[:, llm] >= 0.1).tolist():
            background = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            text, middle = f"{100 * shares[row, llm]:.0f} %", (left[row] + shares[row, llm] / 2, row)
            annotate(axes, text, middle, (0, 0), ha="center", va="center", bbox=background)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    name_rows(axes, users)
    axes.set_xlabel("share of the router's choices (%)")
    draw_legend(axes, llms)


def _top(table: ShareTable, row: int, shares: np.ndarray) -> str:
    best = int(shares[row].argmax())
    return f"{table.users[row]}: mostly {table.llms[best]} ({percent(float(shares[row, best]))})"


def _draw_map(axes, users: UserMap, groups: list, known: bool) -> None:
    size = 46 if len(users.users) <= 200 else 14
    for i, (name, (_, rows)) in enumerate(groups):
        if not len(rows):
            continue
        colour = _SCALE[i] if known else PALETTE[i % 8]
        marker = "o" if known else _MARKERS[i // 8 % len(_MARKERS)]
        style = {"color": colour, "marker": marker, "s": size, "edgecolor": "white", "linewidth": 0.5, "alpha": 0.9}
        axes.scatter(*users.points[rows].T, label=name, **style)
    axes.set_xlabel("principal component 1")
    axes.set_ylabel("principal component 2")
    axes.grid()
    draw_legend(axes, [name for name, _ in groups])


def _bands(preference: Float[np.ndarray, " users"]) -> list[tuple[str, np.ndarray]]:
    """Five bands of preference of equal width, with the rows of their users; one band if all are equal."""
    low, high = float(preference.min()), float(preference.max())
    if low == high:
        return [(f"{low:.2f}", np.arange(len(preference)))]
    edges = np.linspace(low, high, len(_SCALE) + 1)
    band = np.clip(np.searchsorted(edges, preference, side="right") - 1, 0, len(_SCALE) - 1)
    return [(f"{edges[i]:.2f} to {edges[i + 1]:.2f}", np.flatnonzero(band == i)) for i in range(len(_SCALE))]


def _favourites(favourite: Sequence[str], llms: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """The rows of the users of each favourite LLM, in the order of `llms`; an LLM without users keeps its colour."""
    names = dict.fromkeys([*llms, *sorted(set(favourite))])
    return [(name, np.flatnonzero(np.array(favourite, object) == name)) for name in names]


def _explained(users: UserMap) -> float:
    """Share of the variance of the preference that is explained by a linear function of the position."""
    inputs = np.column_stack([users.points, np.ones(len(users.points))])
    residual = users.preference - inputs @ np.linalg.lstsq(inputs, users.preference, rcond=None)[0]
    return 1 - float(residual.var()) / max(float(users.preference.var()), 1e-12)
