"""The report page in a browser: nothing is wider than a phone, also after every part is opened."""

import pytest
from browser import CHROMIUM, Browser

_CUT = """[...document.querySelectorAll('.scroll, .plot, main')]
  .filter(part => part.scrollWidth > part.clientWidth).map(part => part.textContent.slice(0, 80))"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_cut(experiment_workdir, width):
    with Browser(f"file://{experiment_workdir / 'report' / 'report.html'}") as page:
        page.show_as_phone(width)
        page.wait_for(
            "document.querySelector('main') && document.readyState === 'complete'"
        )  # not the blank page before
        page.run("document.querySelectorAll('details').forEach(part => { part.open = true })")
        assert page.run("innerWidth") == width
        assert page.run("document.querySelectorAll('.scroll').length") >= 4
        assert page.run(_CUT) == []
        assert page.run("document.documentElement.scrollWidth") <= width
