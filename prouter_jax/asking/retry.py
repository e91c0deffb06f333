"""How long to wait before asking again."""

import dataclasses

import numpy as np

_LONGEST_BACKOFF = 60.0
LONGEST_WAIT = 600.0


@dataclasses.dataclass(frozen=True)
class Retry:
    """`attempts` in all; after the n-th a wait of `base` * 2^(n - 1) s, a minute at most, half of it at random."""

    attempts: int
    base: float

    def delay(self, attempt: int, wait: float | None, rng: np.random.Generator) -> float | None:
        """Seconds to wait after `attempt` (from 1) has failed; None to give up.

        Args:
          wait: seconds that the server asked for: never less than these, and never more than ten minutes.
        """
        if attempt >= self.attempts or (wait or 0) > LONGEST_WAIT:
            return None
        backoff = min(self.base * 2.0 ** (attempt - 1), _LONGEST_BACKOFF)
        return (wait or 0) + backoff * (0.5 + 0.5 * rng.random())
