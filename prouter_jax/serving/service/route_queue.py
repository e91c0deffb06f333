"""`RouteQueue`: requests that wait at the same time are computed together, in one thread.

Several threads would wait for each other's turn to run Python; and to prepare four queries takes hardly longer than to
prepare one.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

_AT_ONCE = 4  # as many queries as one program prepares, see `data.query_features.in_parts`


class RouteQueue:
    """Hands requests of an event loop to a function in a thread of its own.

    Args:
      function: of some requests; returns the answer to each, or an exception.
    """

    def __init__(self, function: Callable[[Sequence[Any]], Sequence[Any]]):
        self._function: Callable[[Sequence[Any]], Sequence[Any]] = function
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="route", daemon=True)
        self._thread.start()

    async def ask(self, request: Any) -> Any:
        """The answer to a request; raises the exception that is its answer."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put((request, answer))
        return await answer

    def close(self) -> None:
        """Ends once what waits is answered."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            some, last = [first], False
            while len(some) < _AT_ONCE and not self._waiting.empty() and not last:
                one = self._waiting.get()
                last = one is None
                some += [] if last else [one]
            self._answer(some)
            if last:
                return

    def _answer(self, some: list[tuple[Any, asyncio.Future]]) -> None:
        try:
            answers = self._function([request for request, _ in some])
        except Exception as error:
            answers = [error] * len(some)
        futures = [future for _, future in some]
        try:
            futures[0].get_loop().call_soon_threadsafe(_give, futures, answers)
        except RuntimeError:  # the loop has ended, and nobody waits
            return


def _give(futures: list[asyncio.Future], answers: Sequence[Any]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # whoever asked has gone
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
