"""What a terminal shows while a command is at work."""

import io
import sys

from processes import wait_for

from prouter_jax.io import display
from prouter_jax.io.display import waiting


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_the_work_again_and_again_until_it_is_done(monkeypatch):
    shown = _Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(display, "_SECONDS_BETWEEN_LINES", 0.01)
    with waiting("reading the data"):
        wait_for(lambda: shown.getvalue().count("\r\033[Kreading the data, 0 s") > 1)
    assert shown.getvalue().endswith("\r\033[K")  # the line is cleared
    written = shown.getvalue()
    try:
        with waiting("compiling"):
            raise ValueError
    except ValueError:
        pass
    assert shown.getvalue().removeprefix(written).endswith("\r\033[K")


def test_a_file_gets_nothing(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with waiting("reading the data"):
        pass
    assert shown.getvalue() == ""
