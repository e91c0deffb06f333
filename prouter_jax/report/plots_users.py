"""Plots of single users: who gains, and who gets which LLM."""

import functools
import math
import textwrap

import numpy as np

from prouter_jax.io.numbers import percent
from prouter_jax.report.drawing import BLUE, DARK, ORANGE, WIDTH, Plot, draw_svg, name_rows, note, shorten
from prouter_jax.report.types import Report, ShareTable, UserRow

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#30343B")
HATCHES = ("", "//", "xx", "--")  # With the colours above: 32 LLMs that look different.


def plot_gain_by_user(report: Report) -> Plot | None:
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
    return Plot(title, draw_svg("users", draw, 3.6, alt), caption)


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
        return shorten(user.user_id, 14) + (f" ({user.preference:.2g})" if known else "")
    return f"{user.preference:.2f}" if known else f"no. {row + 1}"


def plot_shares(report: Report) -> Plot | None:
    shares = np.nan_to_num(np.asarray(report.shares.shares, float))
    if not shares.size:
        return None
    order = [llm for llm in by_share(report.shares) if shares[:, llm].any()]
    names = [str(report.shares.llms[llm]) for llm in order]
    short = [shorten(name, 36) for name in names]
    llms = short if len(set(short)) == len(names) else [shorten(name, 80) for name in names]
    never = len(report.shares.llms) - len(order)
    rest = f"; {never} of {len(report.shares.llms)} LLMs are never chosen here and left out" if never else ""
    caption = f"How to read: each row is a user, each colour (and hatching) an LLM, most chosen first{rest}."
    title = "Who gets which LLM: the router's choices user by user"
    alt = "; ".join(_top(report.shares, row, shares) for row in range(len(shares)))
    height = 0.33 * len(shares) + 0.9 + 0.22 * math.ceil(len(llms) / legend_columns(llms))
    users = [shorten(user, 26) for user in report.shares.users]
    draw = functools.partial(_draw_shares, users=users, llms=llms, shares=shares[:, order])
    return Plot(title, draw_svg("shares", draw, height, f"{title}. {alt}"), caption)


def by_share(table: ShareTable) -> list[int]:
    """Rows of the LLMs, most chosen first: the order of their colours in every plot."""
    return np.argsort(-np.nan_to_num(np.asarray(table.shares, float)).sum(0), kind="stable").tolist()


def _draw_shares(axes, users: list[str], llms: list[str], shares: np.ndarray) -> None:
    ends = shares.cumsum(1)
    for llm, name in enumerate(llms):
        look = {"color": PALETTE[llm % 8], "hatch": HATCHES[llm // 8 % len(HATCHES)], "edgecolor": "white"}
        left = ends[:, llm] - shares[:, llm]
        axes.barh(range(len(users)), shares[:, llm], left=left, label=name, linewidth=0.5, **look)
        for row in np.flatnonzero(shares[:, llm] >= 0.1).tolist():
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            middle = (left[row] + shares[row, llm] / 2, row)
            note(axes, f"{100 * shares[row, llm]:.0f} %", middle, (0, 0), ha="center", va="center", bbox=box)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    name_rows(axes, users)
    axes.set_xlabel("share of the router's choices (%)")
    axes.figure.legend(loc="outside lower left", ncols=legend_columns(llms), frameon=False, fontsize=9)


def legend_columns(names: list[str]) -> int:
    """How many columns of a legend fit."""
    return max(1, min(len(names), int(WIDTH / (0.07 * max(map(len, names), default=1) + 0.6))))


def _top(table: ShareTable, row: int, shares: np.ndarray) -> str:
    best = int(shares[row].argmax())
    return f"{table.users[row]}: mostly {table.llms[best]} ({percent(float(shares[row, best]))})"
