"""The range of ratings in a log, found from all of them, and the unit of latencies."""

import math

import numpy as np

_RANGES = ((0.0, 1.0), (-1.0, 1.0), (1.0, 5.0), (0.0, 5.0), (1.0, 7.0), (1.0, 10.0), (0.0, 10.0), (1.0, 100.0))
_PERCENT = (0.0, 100.0)
_SLOW = 100.0  # a latency that is rare in seconds and usual in milliseconds


class Ratings:
    """The lowest and highest of the ratings so far."""

    def __init__(self):
        self.number, self._low, self._high, self._whole = 0, math.inf, -math.inf, True

    def add(self, ratings: np.ndarray) -> None:
        """Adds ratings [rows], NaN if missing."""
        ratings = ratings[~np.isnan(ratings)]
        if len(ratings):
            self.number += len(ratings)
            self._low, self._high = min(self._low, ratings.min()), max(self._high, ratings.max())
            self._whole &= bool((ratings == np.floor(ratings)).all())

    def range(self, given: tuple[float, float] | None) -> tuple[float, float]:
        """The lowest and the highest possible rating.

        Args:
          given: from a flag; None to find them.

        Raises:
          ValueError: if the ratings may have several ranges.
        """
        low, high = self._low, self._high
        if given or not self.number:
            return given or (0.0, 1.0)
        if (low, high) in (*_RANGES, _PERCENT):
            return low, high
        if not self._whole and low < high and low >= -1 and high <= 1:
            return (-1.0 if low < 0 else 0.0), 1.0
        found = f"{low:g} alone" if low == high else f"{low:g} to {high:g}"
        raise ValueError(f"log, ratings: expected a range that is usual, found {found}; set --rating_range=LOW:HIGH")


class Latencies:
    """The unit of the latencies of each file: milliseconds where most of them are 100 or more, else seconds."""

    def __init__(self):
        self._slow: dict[str, int] = {}

    def add(self, latencies: np.ndarray, file: str) -> int:
        """Adds latencies [rows], NaN if missing; returns the number of the file."""
        present = latencies[~np.isnan(latencies)]
        slow = int((present >= _SLOW).sum())
        self._slow[file] = self._slow.get(file, 0) + 2 * slow - len(present)
        return list(self._slow).index(file)

    def seconds(self) -> np.ndarray:
        """Seconds that a unit of the latencies is, [files]."""
        return np.array([1e-3 if slow > 0 else 1.0 for slow in self._slow.values()])

    def text(self) -> str:
        """The files in milliseconds, for the summary."""
        files = [file for file, slow in self._slow.items() if slow > 0]
        return f"milliseconds in {', '.join(files)}" if files else ""
