"""Progress in a terminal is one line that changes; in a log file each status is a line of its own."""

import io
import sys

import pytest

from prouter_jax.llm.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("kind", "separator"), [(_Terminal, "\r"), (io.StringIO, "\n")])
def test_replies_failures_and_money_are_shown(monkeypatch, kind, separator):
    monkeypatch.setattr(sys, "stderr", kind())
    with Progress("collect", "answers", total=4, stored=1, spent=0.5) as progress:
        progress.mininterval = 0  # a status for each reply
        progress.step(False, 0.75)
        progress.step(True, 1.0)
    shown = sys.stderr.getvalue()
    assert shown.endswith("\n")
    lines = [line.strip() for line in shown.strip().split(separator)]
    assert "1/4 answers, 0.5000 USD spent, ? left" in lines[0]
    assert "2/4 answers, 0.7500 USD spent, " in lines[1]
    assert "3/4 answers, 1 failed, 1.0000 USD spent, " in lines[-1]
    assert ("%|" in shown) == (kind is _Terminal)


def test_no_money_is_shown_if_nothing_costs_any(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("grade", "answers", total=2, stored=0) as progress:
        progress.step(False)
    assert "USD" not in sys.stderr.getvalue()
    assert "grade: 1/2 answers, " in sys.stderr.getvalue()
