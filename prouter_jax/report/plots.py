"""Shared drawing of plots, as SVG for a page or as a PNG file. The same numbers give the same bytes.

matplotlib is imported when the first plot is drawn, and only its object API is used: no pyplot, no global settings
left behind. Text stays text in the SVG: it can be searched, read aloud, and shown in any script. The colours are
those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import contextlib
import dataclasses
import html
import io
import math
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

BLUE, ORANGE, GREY, DARK = "#0072B2", "#D55E00", "#A6ACB5", "#30343B"
WIDTH = 5.0  # inches; narrow, so that the text stays readable on a phone
PALETTE = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", ORANGE, "#8C8C8C", DARK)
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
# matplotlib's settings are global while a plot is drawn.
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Plot:
    """A drawn plot: a title with the main finding, an `<svg>` element, and a caption on how to read it."""

    title: str
    svg: str
    caption: str


def draw_svg(name: str, draw: Callable, height: float, label: str) -> str:
    """Draws a plot as an `<svg>` element.

    Args:
      name: unique on the page; prefix of the ids inside the SVG.
      draw: fills the matplotlib axes that it is called with.
      height: inches; the width is `WIDTH`.
      label: text alternative for readers who cannot see the plot.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _plot_style(name):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        draw(figure.add_subplot())
        out = io.StringIO()
        # Not figure.savefig, which draws everything twice.
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(out.getvalue(), name, label)


def draw_png(draw: Callable, width: float, height: float) -> bytes:
    """Draws a PNG file of `width` x `height` inches; `draw` fills the matplotlib figure that it is called with."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _plot_style("png"):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white", dpi=150)
        draw(figure)
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def name_rows(axes, names: list[str], highlight: int | None = None) -> None:
    """Labels the rows of a plot at its left, the first on top; one row may be highlighted."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    if highlight is not None:
        axes.get_yticklabels()[highlight].set(color=BLUE, weight="bold")


def annotate(axes, text: str, point: tuple[float, float], offset: tuple[float, float], **style) -> None:
    """Small text `offset` points from `point`. It must lie inside the axes: the layout does not measure it."""
    axes.annotate(text, point, offset, textcoords="offset points", size=8, in_layout=False, **style)


def draw_legend(axes, names: list[str]) -> None:
    """A legend below the axes, in as many columns as fit."""
    axes.figure.legend(loc="outside lower left", ncols=_legend_columns(names), frameon=False, fontsize=9)


def legend_height(names: list[str]) -> float:
    """Height of `draw_legend` in inches."""
    return 0.22 * math.ceil(len(names) / _legend_columns(names))


def shorten(text: str, most: int) -> str:
    """One line of at most `most` characters, cut in the middle because long ids differ at their ends."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"


def _legend_columns(names: list[str]) -> int:
    return max(1, min(len(names), int(WIDTH / (0.07 * max(map(len, names), default=1) + 0.6))))


@contextlib.contextmanager
def _plot_style(name: str) -> Iterator[None]:
    """matplotlib's settings while a plot of this name is drawn; one plot is drawn at a time."""
    import matplotlib

    with _LOCK, matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        # The browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG file as an element of a page: without prologue, with ids that differ from those of other plots."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
