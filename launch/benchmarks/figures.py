"""Measured figures, their text, the JSON file of the newest of each, and the speed table of a document."""

import dataclasses
import json
import os
import pathlib
import resource
import statistics

from prouter_jax.io import files
from prouter_jax.io.display import escape_markdown, markdown_table, provenance, write_section

_FACTS = ("machine", "versions", "date", "commit")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Arguments of a work: the folder of the data sets, and the number of timed runs."""

    data: pathlib.Path
    runs: int


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of several runs.

    Attributes:
      key: its name in the JSON file.
      values: one for each run, in `unit`.
      at_least, at_most: bounds required of the median; None for no bound.
    """

    key: str
    name: str
    unit: str
    values: list[float]
    at_least: float | None = None
    at_most: float | None = None

    def entry(self) -> dict:
        """The figure as JSON: median, range, number of runs and bounds."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": statistics.median(self.values),
            "low": min(self.values),
            "high": max(self.values),
            "runs": len(self.values),
            "at_least": self.at_least,
            "at_most": self.at_most,
        }


def peak_memory() -> float:
    """The peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def keep(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure and its provenance to a file, in place of an older one of its key."""
    entries = read(path) if path.exists() else {}
    entries[figure.key] = figure.entry() | provenance()
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, json.dumps(entries, indent=2) + "\n")


def read(path: pathlib.Path) -> dict[str, dict]:
    """The entries of a file, by key.

    Raises:
      ValueError: if it is missing, or not in the format of `keep`.
    """
    try:
        entries = json.loads(path.read_text())
        if all({"name", "unit", "median"} <= entry.keys() for entry in entries.values()):
            return entries
    except FileNotFoundError:
        raise ValueError(f"{path}: expected measured figures, found none; measure them first") from None
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"{path}: expected measured figures, found something else")


def line(entry: dict) -> str:
    """A figure for the terminal: `name: 1.46 s (median of 5, 1.40 to 1.60); required: at most 2 s: met`."""
    required = in_words(entry)
    spread = f"median of {entry['runs']}, {number(entry['low'])} to {number(entry['high'])}"
    found = f"{entry['name']}: {number(entry['median'])} {entry['unit']}"
    return found + (f" ({spread})" if entry["runs"] > 1 else "") + (f"; required: {required}" if required else "")


def in_words(entry: dict) -> str:
    """The required bound and whether it is met; "" without one."""
    for bound, text, sign in (("at_least", "at least", 1), ("at_most", "at most", -1)):
        if entry[bound] is not None:
            met = sign * entry["median"] >= sign * entry[bound]
            return f"{text} {number(entry[bound])} {entry['unit']}: {'met' if met else 'missed'}"
    return ""


def number(value: float) -> str:
    """Three significant digits; all digits of a value of 100 or more."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


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
    return f"{markdown_table(columns, rows)}\n\nMeasured by `make bench` ({escape_markdown(facts)})."


def _spread(entry: dict) -> str:
    if entry["runs"] == 1:
        return "one run"
    return f"{number(entry['low'])} to {number(entry['high'])}, {entry['runs']} runs"


def _joined(entries: dict[str, dict], name: str) -> str:
    """The same for most figures, so each value once."""
    return ", ".join(dict.fromkeys(entry[name] for entry in entries.values()))
