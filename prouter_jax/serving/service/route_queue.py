"""`RouteQueue`: requests that wait at the same time are computed together, by the event loop's own thread.

A thread beside the loop would not help: both run Python, and each would wait for its turn several times a request. A
computation takes about a millisecond; to prepare four queries takes hardly longer than to prepare one.
"""

import asyncio
import collections
from collections.abc import Callable, Sequence
from typing import Any

_AT_ONCE = 4  # as many queries as one program prepares, see `data.query_features.in_parts`


class RouteQueue:
    """Hands requests of an event loop to a function.

    Args:
      function: of some requests; returns the answer to each, or an exception.
    """

    def __init__(self, function: Callable[[Sequence[Any]], Sequence[Any]]):
        self._function: Callable[[Sequence[Any]], Sequence[Any]] = function
        self._waiting: collections.deque[tuple[Any, asyncio.Future]] = collections.deque()

    async def ask(self, request: Any) -> Any:
        """The answer to a request; raises the exception that is its answer."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        if not self._waiting:  # once what has arrived by now was read
            loop.call_soon(loop.call_soon, self._run, loop)
        self._waiting.append((request, answer))
        return await answer

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        if self._waiting:
            loop.call_soon(self._run, loop)
        try:
            answers = self._function([request for request, _ in some])
        except Exception as error:
            answers = [error] * len(some)
        for (_, future), answer in zip(some, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
