"""The map of users: who is like whom in the router's eyes, coloured by what they prefer."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from prouter_jax.io.numbers import percent
from prouter_jax.report.drawing import Plot, draw_svg, shorten
from prouter_jax.report.plots_users import PALETTE, by_share, legend_columns
from prouter_jax.report.types import Report, UserMap

_SCALE = ("#440154", "#3B528B", "#21918C", "#5EC962", "#E8C500")  # from cost to quality, in order of lightness
_MARKERS = ("o", "^", "s", "D")  # with the palette's colours: 32 LLMs that look different


def plot_user_map(report: Report) -> Plot | None:
    users = report.user_map
    if users is None:
        return None
    known = bool(np.isfinite(users.preference).all())
    llms = [str(report.shares.llms[llm]) for llm in by_share(report.shares)] if len(report.shares.users) else []
    groups = _bands(users.preference) if known else _favourites(users.favourite, llms)
    colour = "planted preference, from cost to quality" if known else "the LLM liked most often in the history"
    title = f"Who is like whom: {len(users.users)} users by what they weigh"
    told = f"the axes tell {percent(users.told[0])} and {percent(users.told[1])} of the differences between users"
    caption = f"How to read: each dot is a user, near dots are alike to the router; {told}; colour: {colour}."
    if known and len(users.users) >= 10:
        caption += f" The place on the map tells {percent(_told_by_place(users))} of the variance of the preference."
    alt = f"{title}. " + "; ".join(f"{name}: {len(rows)}" for name, rows in groups if len(rows))
    names = [shorten(name, 36) for name, _ in groups]
    height = 4.4 + 0.22 * math.ceil(len(names) / legend_columns(names))
    draw = functools.partial(_draw, users=users, groups=list(zip(names, groups, strict=True)), known=known)
    return Plot(title, draw_svg("map", draw, height, alt), caption)


def _draw(axes, users: UserMap, groups: list, known: bool) -> None:
    size = 46 if len(users.users) <= 200 else 14
    for i, (name, (_, rows)) in enumerate(groups):
        if not len(rows):
            continue
        colour = _SCALE[i] if known else PALETTE[i % 8]
        marker = "o" if known else _MARKERS[i // 8 % len(_MARKERS)]
        look = {"color": colour, "marker": marker, "s": size, "edgecolor": "white", "linewidth": 0.5, "alpha": 0.9}
        axes.scatter(*users.points[rows].T, label=name, **look)
    axes.set_xlabel(f"first axis ({percent(users.told[0])})")
    axes.set_ylabel(f"second axis ({percent(users.told[1])})")
    axes.grid()
    names = [name for name, _ in groups]
    axes.figure.legend(loc="outside lower left", ncols=legend_columns(names), frameon=False, fontsize=9)


def _bands(preference: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Users of similar preference: equally wide bands, with their rows; all in one where all are alike."""
    low, high = float(preference.min()), float(preference.max())
    if low == high:
        return [(f"{low:.2f}", np.arange(len(preference)))]
    edges = np.linspace(low, high, len(_SCALE) + 1)
    band = np.clip(np.searchsorted(edges, preference, side="right") - 1, 0, len(_SCALE) - 1)
    return [(f"{edges[i]:.2f} to {edges[i + 1]:.2f}", np.flatnonzero(band == i)) for i in range(len(_SCALE))]


def _favourites(favourite: Sequence[str], llms: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """The users of each favourite LLM, in the order of `llms`; nobody's favourite keeps its place and colour."""
    names = dict.fromkeys([*llms, *sorted(set(favourite))])
    return [(name, np.flatnonzero(np.array(favourite, object) == name)) for name in names]


def _told_by_place(users: UserMap) -> float:
    """Share of the variance of the preference that is linear in the place."""
    places = np.column_stack([users.points, np.ones(len(users.points))])
    left = users.preference - places @ np.linalg.lstsq(places, users.preference, rcond=None)[0]
    return 1 - float(left.var()) / max(float(users.preference.var()), 1e-12)
