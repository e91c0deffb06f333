"""How far the asking is, in one line: replies, failures, money, time left."""

import sys
import time

from prouter_jax.io.terminal import say

_SECONDS_ON_TERMINAL = 1.0
_SECONDS_IN_LOG = 30.0


class ProgressLine:
    """Written to stderr; a context manager that ends with a last line."""

    def __init__(self, who: str, what: str, total: int, stored: int, spent: float | None = None):
        """
        Args:
          who: asks.
          what: is had, in the plural.
          total: of them in all; `stored` of them are there already.
          spent: USD so far; None where nothing costs money.
        """
        self.who, self.what, self.total, self.stored, self.spent = who, what, total, stored, spent
        self.asked = self.failed = 0
        self._begun = self._printed = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_) -> None:
        self._print("\n")

    def step(self, failed: bool, spent: float | None = None) -> None:
        """One more reply, or a failure.

        Args:
          spent: USD so far, of earlier runs too.
        """
        self.asked += 1
        self.failed += failed
        self.spent = spent
        pause = _SECONDS_ON_TERMINAL if self._terminal else _SECONDS_IN_LOG
        if time.monotonic() - self._printed > pause:
            self._print("" if self._terminal else "\n")

    def line(self) -> str:
        """The line itself."""
        done, seconds = self.stored + self.asked, time.monotonic() - self._begun
        left = f"{(self.total - done) * seconds / self.asked:.0f} s left" if self.asked else "time left unknown"
        failed = f", {self.failed} failed" if self.failed else ""
        spent = "" if self.spent is None else f", {self.spent:.4f} USD spent"
        return f"{self.who}: {done}/{self.total} {self.what}{failed}{spent}, {left}"

    def _print(self, end: str) -> None:
        self._printed = time.monotonic()
        say(self.line(), end)
