"""The picture of a scan: how fast, how efficient, and where a step's time goes, by the number of chips."""

import io
from collections.abc import Mapping, Sequence

from prouter_jax.ahead.scan import Point
from prouter_jax.report.drawing import BLUE, DARK, GREY, ORANGE

_LOOKS = {"v5p": (BLUE, "o"), "v5e": (ORANGE, "s")}


def draw_scan(scans: Mapping[str, Sequence[Point]]) -> bytes:
    """A PNG of the scans by kind of chip, with one panel for each of three questions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rate, efficiency, parts = figure.subplots(1, 3)
    for kind, points in scans.items():
        points = [point for point in points if point.fits]
        if points:
            _draw_kind(rate, efficiency, parts, kind, points)
    _finish(rate, "Users a second", "all chips together (dotted: ideal)", "log")
    _finish(efficiency, "Weak scaling", "users a second of a chip, % of the smallest", "linear")
    _finish(parts, "A train step of a chip", "seconds", "log")
    efficiency.axhline(90, color=GREY, linewidth=1, linestyle="--")
    efficiency.set_ylim(0, 110)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _draw_kind(rate, efficiency, parts, kind: str, points: Sequence[Point]) -> None:
    color, marker = _LOOKS[kind]
    look = {"color": color, "marker": marker, "markersize": 4}
    chips = [point.topology.chips for point in points]
    rate.plot(chips, [point.rate for point in points], label=kind, **look)
    rate.plot(chips, [points[0].rate * n / chips[0] for n in chips], color=color, linestyle=":", linewidth=1)
    efficiency.plot(chips, [100 * point.efficiency for point in points], label=kind, **look)
    parts.plot(chips, [point.compute for point in points], label=f"{kind}: compute", **look)
    parts.plot(chips, [point.wire for point in points], label=f"{kind}: on the wire", linestyle="--", **look)


def _finish(axes, title: str, label: str, scale: str) -> None:
    axes.set_title(title, loc="left", color=DARK)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_yscale(scale)
    axes.set_xlabel("chips")
    axes.set_ylabel(label)
    axes.grid(color="#E6E8EB")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
