"""Limits on requests: the size of a body, the time it takes to come, and the rate of each caller."""

import asyncio
import collections
import math
import time
from collections.abc import Awaitable, Callable

from prouter_jax.serving.service.errors import ApiError

_MOST_CALLERS = 100_000
_SECONDS_OF_BODY = 10.0


async def read_body(receive: Callable[[], Awaitable[dict]], most: int, seconds: float = _SECONDS_OF_BODY) -> bytes:
    """Reads the body of a request.

    Args:
      receive: of ASGI.
      most: largest number of bytes.
      seconds: longest time in all.

    Raises:
      ApiError: 413 if it is too large, 408 if it does not come, 400 if the client goes away.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, most)
    except TimeoutError:
        raise ApiError(408, f"body: expected it within {seconds:g} s, found a part", None, "slow_body") from None


async def _read(receive: Callable[[], Awaitable[dict]], most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "body: expected it whole, found the connection closed")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise ApiError(413, f"body: expected at most {most} bytes, found more", None, "body_too_large")
        if not message.get("more_body", False):
            return b"".join(parts)


class RateLimit:
    """A token bucket for each caller: `rate` requests a second in the long run, twice as many at once.

    Args:
      rate: requests a second; None for no limit.
      clock: seconds that only rise.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic):
        self._rate, self._clock = rate, clock
        self._burst = max(1.0, 2 * (rate or 0))
        self._buckets: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def take(self, caller: str) -> None:
        """Counts a request.

        Raises:
          ApiError: 429 if the caller has none left.
        """
        if self._rate is None:
            return
        now = self._clock()
        left, then = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left), now
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = math.ceil((1 - left) / self._rate)
            message = f"expected at most {self._rate:g} requests a second, found more; wait {wait} s"
            raise ApiError(429, message, None, "rate_limit_exceeded", {"Retry-After": str(wait)})
