"""Text for readers: numbers, Markdown, provenance of results, and lines of progress on stderr."""

import contextlib
import datetime
import html
import importlib.metadata
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

import prouter_jax
from prouter_jax.io import files

DASH = "–"  # noqa: RUF001 (an en dash)
"""Text of a missing number."""
_SECONDS_BETWEEN_LINES = 1.0
_CONTROLS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def number(value: float, sign: bool = False, decimals: int = 4) -> str:
    """A number with some decimals; `DASH` for NaN and infinity."""
    return f"{value:{'+' if sign else ''}z.{decimals}f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    """A share in [0, 1] as a percentage with one decimal; `DASH` for NaN and infinity."""
    return f"{100 * value:z.1f} %" if math.isfinite(value) else DASH


def dollars(value: float) -> str:
    """USD per query as USD per 1000 queries with three significant digits; `DASH` for NaN and infinity."""
    if not math.isfinite(value):
        return DASH
    thousand = 1000 * value
    if thousand == 0:
        return "0"
    return f"{thousand:,.{max(0, 2 - math.floor(math.log10(abs(thousand))))}f}"


def truncate(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str) -> str:
    """Text with its control characters, but for line feeds and tabs, as escapes: a terminal would obey them.

    Characters that turn the direction of writing, and halves of UTF-16 pairs, are also escaped.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class PlainStream:
    """A text stream that writes `printable` text; the stream itself is its attribute `unescaped`."""

    def __init__(self, stream: TextIO):
        self.unescaped = stream

    def write(self, text: str) -> int:
        return self.unescaped.write(printable(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self.unescaped, name)


def log_line(line: str, end: str = "\n") -> None:
    """Prints a line on stderr; on a terminal it overwrites an unfinished line.

    Args:
      line: the text; empty only clears the terminal's line.
      end: "" leaves the line unfinished, so that the next one overwrites it.
    """
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    if line or clear:
        stream = getattr(sys.stderr, "unescaped", sys.stderr)
        print(f"{clear}{printable(line)}", end=end, file=stream, flush=True)


@contextlib.contextmanager
def waiting(work: str) -> Iterator[None]:
    """Shows on a terminal, every second until the block ends, the work at hand and for how long it has gone on."""
    if not sys.stderr.isatty():
        yield
        return
    ended, begun = threading.Event(), time.monotonic()

    def show() -> None:
        while not ended.is_set():
            log_line(f"{work}, {time.monotonic() - begun:.0f} s", end="")
            ended.wait(_SECONDS_BETWEEN_LINES)

    shown = threading.Thread(target=show, daemon=True)
    shown.start()
    try:
        yield
    finally:
        ended.set()
        shown.join()
        log_line("", end="")


def on_progress(what: str, pause: float = 0.0) -> Callable[[int, float | None], None]:
    """Makes a callback that prints progress to stderr.

    Args:
      what: name of the units, such as "rows".
      pause: minimum seconds between two lines.

    Returns:
      a function of the number of units done, and of their share of all in (0, 1] or None if that is unknown.
    """
    start = last = time.monotonic()

    def report(done: int, share: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < pause:
            return
        last, seconds = now, now - start
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        log_line(f"{done} {what}, {done / max(seconds, 1e-9):.0f} {what}/s{left}")

    return report


def markdown_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table.

    Args:
      columns: headings, plain text.
      rows: cells of each row, plain text; escaped here.
    """
    columns = list(columns)
    lines = [[escape_markdown(str(text)) for text in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Plain text as one line of Markdown without markup."""
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(printable(" ".join(text.split())), quote=False))


def write_section(document: str | os.PathLike, name: str, text: str) -> None:
    """Replaces the text between the markers <!-- NAME --> and <!-- /NAME --> of a Markdown document.

    Raises:
      ValueError: unless the document has each marker once, in this order.
    """
    path, marks = pathlib.Path(document), (f"<!-- {name} -->", f"<!-- /{name} -->")
    old = path.read_text()
    before, begin, rest = old.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end) or sum(map(old.count, marks)) > 2:
        raise ValueError(f"{path}: expected {marks[0]} once and then {marks[1]} once, found something else")
    files.write_whole(path, f"{before}{begin}\n{text}\n{end}{after}")


def provenance() -> dict[str, str]:
    """The "versions" of libraries, "machine", "date" and "commit" of the running code, as text."""
    return {
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax", "numpy")),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of a checkout, or the version of an installed package (whose folder may be in another repository)."""
    here = pathlib.Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return f"prouter_jax {prouter_jax.__version__}"
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
