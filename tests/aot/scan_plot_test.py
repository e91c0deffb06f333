"""The picture of a scan is a picture, of whatever fits."""

import dataclasses

from aot_cases import LARGE, MIDDLE, SMALL, forecasts_on

from prouter_jax.aot.scan import draw_scan, weak_scaling

POINTS = weak_scaling([(one, forecasts_on(one)) for one in (SMALL, MIDDLE, LARGE)])


def test_a_png_that_shows_what_fits():
    whole = draw_scan({"v5e": POINTS, "v5p": POINTS})
    assert whole.startswith(b"\x89PNG")
    assert draw_scan({"v5e": POINTS}) != whole
    outgrown = [*POINTS[:2], dataclasses.replace(POINTS[2], fits=False)]
    assert draw_scan({"v5e": outgrown}) == draw_scan({"v5e": POINTS[:2]})
    assert draw_scan({"v5e": [dataclasses.replace(one, fits=False) for one in POINTS]}).startswith(b"\x89PNG")
