"""The speed table of a README, written from kept figures alone."""

import os
import pathlib

from prouter_jax.io import markdown
from prouter_jax.io.markdown import write_section

from .figures import in_words, number, read

_FACTS = ("machine", "versions", "date", "commit")


def write_speed(document: str | os.PathLike, kept: pathlib.Path) -> None:
    """Puts the kept figures between <!-- speed --> and <!-- /speed --> of a Markdown document; the rest stays.

    Raises:
      ValueError: naming the file, if the markers are not there once and in order, or there are no figures.
    """
    write_section(document, "speed", speed_table(read(kept)))


def speed_table(entries: dict[str, dict]) -> str:
    """Each figure in a row, then where they come from, in Markdown."""
    rows = [
        [entry["name"], f"{number(entry['median'])} {entry['unit']}", _spread(entry), in_words(entry)]
        for entry in entries.values()
    ]
    facts = "; ".join(f"{name} {_joined(entries, name)}" for name in _FACTS)
    columns = ["", "median", "lowest to highest", "required"]
    return f"{markdown.table(columns, rows)}\n\nMeasured by `make bench` ({markdown.escape(facts)})."


def _spread(entry: dict) -> str:
    if entry["runs"] == 1:
        return "one run"
    return f"{number(entry['low'])} to {number(entry['high'])}, {entry['runs']} runs"


def _joined(entries: dict[str, dict], name: str) -> str:
    """The same for most figures, so each value once."""
    return ", ".join(dict.fromkeys(entry[name] for entry in entries.values()))
