"""Drawing a plot as SVG text for a report, or as a PNG file: same numbers, same bytes.

matplotlib is imported when the first plot is drawn and only through its object API: no pyplot, no
settings left behind. Text stays text in the SVG, so that it can be searched, read aloud, and shown in
any script. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import contextlib
import dataclasses
import html
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

BLUE, ORANGE, GREY, DARK = "#0072B2", "#D55E00", "#A6ACB5", "#30343B"
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


def draw_svg(name: str, draw: Callable, height: float, label: str) -> str:
    """Draws a figure and returns it as an `<svg>` element with a label for those who cannot see it."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _house_style(name):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
        draw(figure.add_subplot())
        out = io.StringIO()
        # Not figure.savefig: it draws everything once more beforehand.
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(out.getvalue(), name, label)


def draw_png(draw: Callable, width: float, height: float) -> bytes:
    """Has `draw` fill a figure of this size in inches, and returns it as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _house_style("png"):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white", dpi=150)
        draw(figure)
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


@contextlib.contextmanager
def _house_style(name: str) -> Iterator[None]:
    """matplotlib's settings for a plot of this name; one plot is drawn at a time."""
    import matplotlib

    with _LOCK, matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        # A glyph that matplotlib lacks is one that the browser has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def name_rows(axes, names: list[str], highlight: int | None = None) -> None:
    """Names at the left, first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    if highlight is not None:
        axes.get_yticklabels()[highlight].set(color=BLUE, weight="bold")


def note(axes, text: str, point: tuple[float, float], offset: tuple[float, float], **look) -> None:
    """Small text beside a point; it lies inside the axes, so the layout need not wait for its measures."""
    axes.annotate(text, point, offset, textcoords="offset points", size=8, in_layout=False, **look)


def shorten(text: str, most: int) -> str:
    """One line of at most so many characters, cut in the middle: long ids differ at their ends."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG file as a part of a page: without prologue, its ids its own among those of other plots."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
