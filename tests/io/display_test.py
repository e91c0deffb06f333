"""The waiting line, sections of documents, and provenance: results say where they come from."""

import io
import re
import subprocess
import sys

import pytest
from processes import wait_for

import prouter_jax
from prouter_jax.io import display
from prouter_jax.io.display import PlainStream, waiting, write_section


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ä, \U0001f600\tand\nlines", "plain, ä, \U0001f600\tand\nlines"),
        ("\x1b]0;title\x07 \x1b[2J", r"\x1b]0;title\x07 \x1b[2J"),
        ("over\rwritten\x08", r"over\rwritten\x08"),
        ("\x9b31m \x7f\0", r"\x9b31m \x7f\x00"),
        ("\u202egpj.exe \ud800", r"\u202egpj.exe \ud800"),
    ],
)
def test_what_data_says_does_not_steer_a_terminal(monkeypatch, text, shown):
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", PlainStream(stream))
    print(text, file=sys.stderr)
    display.log_line(text, end="")
    assert stream.getvalue() == f"{shown}\n\r\033[K{shown}"
    assert sys.stderr.isatty()


def test_a_file_gets_nothing(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with waiting("reading the data"):
        pass
    assert shown.getvalue() == ""


def test_only_what_stands_between_the_markers_changes(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Title\n<!-- speed -->\nold\nold\n<!-- /speed -->\nafter <!-- other -->x<!-- /other -->\n")
    for _ in range(2):
        write_section(path, "speed", "new")
        expected = "# Title\n<!-- speed -->\nnew\n<!-- /speed -->\nafter <!-- other -->x<!-- /other -->\n"
        assert path.read_text() == expected


@pytest.mark.parametrize(
    "text", ["", "<!-- a -->", "<!-- /a --><!-- a -->", "<!-- a --><!-- /a --><!-- a -->", "<!-- b --><!-- /b -->"]
)
def test_other_markers_are_an_error_and_nothing_is_written(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"README.md: expected <!-- a --> once and then <!-- /a --> once"):
        write_section(path, "a", "new")
    assert path.read_text() == text


def test_versions_machine_date_and_commit_are_named():
    found = display.provenance()
    assert list(found) == ["versions", "machine", "date", "commit"]
    assert re.fullmatch(r"jax \d\S*, flax \d\S*, numpy \d\S*", found["versions"])
    assert re.fullmatch(r"\d+ cores, \S+, Python 3\.\S+", found["machine"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])


def test_without_git_the_commit_is_unknown(monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert display.provenance()["commit"] == "unknown"


def test_an_installed_copy_names_its_version_not_the_repository_around_it(tmp_path, monkeypatch):
    monkeypatch.setattr(display, "__file__", str(tmp_path / "site-packages" / "prouter_jax" / "io" / "display.py"))
    assert display.provenance()["commit"] == f"prouter_jax {prouter_jax.__version__}"
