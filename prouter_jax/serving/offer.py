"""Which LLMs may be picked for a request: its candidates, within limits on cost and latency."""

import collections
import dataclasses
import statistics
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

_REMEMBERED = 100  # latencies of each LLM


class Latencies:
    """The latencies with which each LLM answered lately; safe to call from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._seconds: dict[str, collections.deque[float]] = {}
        self._medians: dict[str, float] = {}

    def note(self, llm: str, seconds: float) -> None:
        """Notes an answer; the last hundred of an LLM count."""
        with self._lock:
            last = self._seconds.setdefault(llm, collections.deque(maxlen=_REMEMBERED))
            last.append(seconds)
            self._medians[llm] = statistics.median(last)

    def expected(self, llm: str) -> float | None:
        """The median latency of an LLM in seconds, None if nothing was noted."""
        return self._medians.get(llm)


@dataclasses.dataclass(frozen=True)
class Offer:
    """What may be picked for a request.

    Attributes:
      candidates: the LLMs on offer; None for all.
      max_cost: highest expected cost of an answer in USD.
      max_latency: highest expected latency of an answer in seconds; an LLM of which no latency is known may be picked.
    """

    candidates: Sequence[str] | None = None
    max_cost: float | None = None
    max_latency: float | None = None

    def rows(
        self, llms: Mapping[str, int], cost: Float[np.ndarray, " llms"], latencies: Latencies
    ) -> Int[np.ndarray, " offered"]:
        """The rows of the LLMs that may be picked.

        Args:
          llms: row of each LLM by its name.
          cost: expected costs of the answers in USD.

        Raises:
          ValueError: one line that names the limit which leaves nothing.
        """
        names = list(llms) if self.candidates is None else list(dict.fromkeys(self.candidates))
        unknown = [name for name in names if name not in llms]
        if unknown:
            raise ValueError(f"candidates: expected LLMs among {', '.join(llms)}, found {', '.join(unknown)}")
        if not names:
            raise ValueError("candidates: expected at least one LLM, found none")
        if self.max_cost is not None:
            names = [name for name in names if cost[llms[name]] <= self.max_cost]
            if not names:
                raise ValueError(f"max_cost: no candidate is expected to cost at most {self.max_cost:g} USD")
        if self.max_latency is not None:
            names = [name for name in names if (latencies.expected(name) or 0.0) <= self.max_latency]
            if not names:
                raise ValueError(f"max_latency: no candidate is expected to answer within {self.max_latency:g} s")
        return np.array([llms[name] for name in names], np.int64)


EVERYTHING = Offer()
