"""Progress lines of commands that read a file: rows done, rows a second, time left."""

import sys
import time
from collections.abc import Callable


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
        print(f"{done} {what}, {done / max(seconds, 1e-9):.0f} {what}/s{left}", file=sys.stderr)

    return report
