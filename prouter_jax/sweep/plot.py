"""The plot of a sweep: the validation reward of each trial over the values of each field."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from prouter_jax.report.plots import BLUE, GREY, ORANGE, draw_png, shorten
from prouter_jax.sweep.fields import flag_text
from prouter_jax.sweep.ranking import reward_of
from prouter_jax.sweep.space import Choices, Dimension
from prouter_jax.sweep.trials import Trial

_COLUMNS = 3
_WIDTH, _HEIGHT = 3.7, 3.1  # inches of a panel
_ASIDE = 0.22  # how far points of one value of a list are spread, so that they do not hide each other
_MOST_WORDS = 16
_NARROW = 20  # a logarithmic axis that spans less may show no power of ten


def draw_results(space: Sequence[Dimension], ranked: Sequence[Trial]) -> bytes:
    """A PNG file: a panel for each field, whiskers are the standard deviation over seeds, the best trial stands out.

    Args:
      ranked: trials that are done, best first.
    """
    columns = 2 if len(space) == 4 else min(_COLUMNS, len(space))
    rows = math.ceil(len(space) / columns)
    wide = max(columns, 2)  # room for the title

    def draw(figure) -> None:
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axes, dimension in zip(panels, space, strict=False):
            _draw_panel(axes, dimension, ranked)
        for axes in panels[len(space) :]:
            axes.remove()
        seeds = len(ranked[0].rewards)
        over = f", mean and standard deviation over {seeds} seeds" if seeds > 1 else ""
        figure.suptitle(f"Validation reward of {len(ranked)} trials{over}; orange: the best, {ranked[0].name}", size=10)
        figure.supylabel("validation reward", size=10)

    return draw_png(draw, _WIDTH * wide, _HEIGHT * rows + 0.3)


def _draw_panel(axes, dimension: Dimension, ranked: Sequence[Trial]) -> None:
    places = _draw_scale(axes, dimension, ranked)
    for trial in reversed(ranked):
        best = trial is ranked[0]
        reward, place = reward_of(trial), places(trial)
        look: dict[str, Any] = {"color": ORANGE if best else BLUE, "zorder": 4 if best else 3}
        size = {"markersize": 9 if best else 5, "alpha": 1.0 if best else 0.7}
        whisker = reward.spread if len(reward.values) > 1 else None
        axes.errorbar(place, reward.mean, whisker, fmt="o", capsize=2, elinewidth=1, **size, **look)


def _draw_scale(axes, dimension: Dimension, ranked: Sequence[Trial]) -> Callable[[Trial], float]:
    """Draws the axis of the values; a function from a trial to its place there."""
    axes.set_xlabel(shorten(dimension.path, 40))
    axes.grid(axis="y")
    if isinstance(dimension, Choices):
        return _draw_choices(axes, dimension, ranked)
    if dimension.log:
        axes.set_xscale("log")
        narrow = dimension.high < _NARROW * dimension.low
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if narrow and f"{value:e}"[0] in "25" else "")
    axes.margins(x=0.06)
    return lambda trial: float(trial.values[dimension.path])


def _draw_choices(axes, dimension: Choices, ranked: Sequence[Trial]) -> Callable[[Trial], float]:
    """Each value has a grey line at the mean of its trials."""
    values = list(dimension.values)
    axes.set_xticks(range(len(values)), [shorten(flag_text(value) or '""', _MOST_WORDS) for value in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    for place, value in enumerate(values):
        rewards = [reward_of(trial).mean for trial in ranked if trial.values[dimension.path] == value]
        if rewards:
            axes.hlines(statistics.fmean(rewards), place - 0.35, place + 0.35, color=GREY, linewidth=3, zorder=2)
    return lambda trial: values.index(trial.values[dimension.path]) + _ASIDE * _aside(trial.number)


def _aside(number: int) -> float:
    """Between -1 and 1, different for numbers that are close."""
    return 2 * math.modf(number * 0.618034)[0] - 1
