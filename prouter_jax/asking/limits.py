"""How many requests at a time, shared fairly by several LLMs, and how many a minute."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator


class Places:
    """For so many requests at a time; a free place goes to the LLM that has the fewest.

    So an LLM that takes long keeps its share of the places at most, where others want them too.
    """

    def __init__(self, total: int):
        self._free = total
        self._taken: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[asyncio.Future]] = collections.defaultdict(collections.deque)

    @contextlib.asynccontextmanager
    async def take(self, llm: str) -> AsyncIterator[None]:
        """Waits for a place, and has it until the end of the block."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting[llm].append(turn)
        loop.call_soon(self._give)  # once all have asked who are about to: the first is not to have every place
        await turn
        try:
            yield
        finally:
            self._taken[llm] -= 1
            self._free += 1
            self._give()

    def _give(self) -> None:
        while self._free and (waiting := [llm for llm, turns in self._waiting.items() if turns]):
            llm = min(waiting, key=self._taken.__getitem__)
            turn = self._waiting[llm].popleft()
            if not turn.done():  # nor cancelled, as all are when a run is broken off
                self._free -= 1
                self._taken[llm] += 1
                turn.set_result(None)


class Pace:
    """So many requests a minute, at even distances; 0 for as many as may be."""

    def __init__(self, per_minute: float):
        self._distance = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        """Returns when it is time for one more; to be waited for by one at a time."""
        if self._distance:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(self._next - now, 0))
            self._next = max(self._next, now) + self._distance
