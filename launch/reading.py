"""What entry points that read long files say meanwhile."""

import sys
import time
from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 2.0


def on_progress() -> Callable[[int, float], None]:
    """A function that is told how many records were read and what share that is, and says so every other second."""
    begun = said = time.monotonic()

    def say(records: int, share: float) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _SECONDS_BETWEEN_LINES or not share:
            return
        said = now
        left = (now - begun) * (1 - share) / share
        print(f"{records:,} records, {records / (now - begun):,.0f} a second, {left:.0f} s left", file=sys.stderr)

    return say
