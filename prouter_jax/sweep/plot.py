"""Plot of a sweep: the validation reward of each trial over the values of each field."""

import math
import statistics
from collections.abc import Callable, Sequence

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from prouter_jax.report.plots import BLUE, GREY, ORANGE, draw_png, shorten
from prouter_jax.search import Distribution, Space
from prouter_jax.sweep.space import flag_text
from prouter_jax.sweep.trials import Trial

_COLUMNS = 3
_WIDTH, _HEIGHT = 3.7, 3.1  # inches of a panel
_JITTER = 0.22  # spread of the points of one list value, so that they do not hide each other
_LABEL_LENGTH = 16
_NARROW = 20  # a logarithmic axis that spans less may show no power of ten


def draw_results(space: Space, ranked: Sequence[Trial]) -> bytes:
    """A PNG file with a panel for each field; whiskers are the standard deviation over seeds, the best trial is orange.

    Args:
      ranked: trials that are done, best first.
    """
    columns = 2 if len(space) == 4 else min(_COLUMNS, len(space))
    rows = math.ceil(len(space) / columns)
    seeds = len(ranked[0].rewards)
    over = f", mean and standard deviation over {seeds} seeds" if seeds > 1 else ""

    def draw(figure) -> None:
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axes, (path, distribution) in zip(panels, space.items(), strict=False):
            axes.set_xlabel(shorten(path, 40))
            _draw_panel(axes, path, distribution, ranked)
        for axes in panels[len(space) :]:
            axes.remove()
        figure.suptitle(f"Validation reward of {len(ranked)} trials{over}; orange: the best, {ranked[0].name}", size=10)
        figure.supylabel("validation reward", size=10)

    return draw_png(draw, _WIDTH * max(columns, 2), _HEIGHT * rows + 0.3)  # two columns leave room for the title


def _draw_panel(axes, path: str, distribution: Distribution, ranked: Sequence[Trial]) -> None:
    axes.grid(axis="y")
    if isinstance(distribution, CategoricalDistribution):
        x = _draw_list_axis(axes, path, distribution, ranked)
    else:
        x = _draw_range_axis(axes, path, distribution)
    for trial in reversed(ranked):
        deviation = statistics.stdev(trial.rewards) if len(trial.rewards) > 1 else None
        best = {"color": ORANGE, "zorder": 4, "markersize": 9, "alpha": 1.0}
        look = best if trial is ranked[0] else {"color": BLUE, "zorder": 3, "markersize": 5, "alpha": 0.7}
        axes.errorbar(x(trial), trial.reward, deviation, fmt="o", capsize=2, elinewidth=1, **look)


def _draw_range_axis(axes, path: str, distribution: FloatDistribution | IntDistribution) -> Callable[[Trial], float]:
    """Draws the axis; returns a trial's place on it."""
    if distribution.log:
        axes.set_xscale("log")
        narrow = distribution.high < _NARROW * distribution.low
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if narrow and f"{value:e}"[0] in "25" else "")
    axes.margins(x=0.06)
    return lambda trial: float(trial.values[path])


def _draw_list_axis(
    axes, path: str, distribution: CategoricalDistribution, ranked: Sequence[Trial]
) -> Callable[[Trial], float]:
    """Draws the axis, with a grey line at the mean of each value's trials; returns a trial's place on it."""
    values = list(distribution.choices)
    axes.set_xticks(range(len(values)), [shorten(flag_text(value) or '""', _LABEL_LENGTH) for value in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    for place, value in enumerate(values):
        rewards = [statistics.fmean(trial.rewards) for trial in ranked if trial.values[path] == value]
        if rewards:
            axes.hlines(statistics.fmean(rewards), place - 0.35, place + 0.35, color=GREY, linewidth=3, zorder=2)
    return lambda trial: values.index(trial.values[path]) + _JITTER * _jitter(trial.number)


def _jitter(number: int) -> float:
    """Between -1 and 1, different for numbers that are close."""
    return 2 * math.modf(number * 0.618034)[0] - 1
