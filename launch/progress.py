"""What entry points say of the time that is left while they go through a file."""

import sys
import time
from collections.abc import Callable


def on_progress(what: str, pause: float = 0.0) -> Callable[[int, float | None], None]:
    """A function that is told how many of `what` are done and, if known, the share that is, and says so.

    Args:
      pause: seconds from one line to the next, at least.
    """
    begun = said = time.monotonic()

    def say(done: int, share: float | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < pause:
            return
        said, seconds = now, now - begun
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        print(f"{done} {what}, {done / max(seconds, 1e-9):.0f} {what}/s{left}", file=sys.stderr)

    return say
