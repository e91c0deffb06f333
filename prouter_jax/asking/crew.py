"""Asking for many things, several at a time, each kept as soon as it is there."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from prouter_jax.asking.client import RefusedError, TransientError
from prouter_jax.asking.form import NonsenseError
from prouter_jax.asking.spending import Usage

Ask = TypeVar("Ask")
Had = TypeVar("Had")


async def ask_all(
    asks: Iterable[Ask],
    concurrency: int,
    answer: Callable[[Ask, Usage], Awaitable[Had]],
    keep: Callable[[Ask, Had | None, str | None, Usage], Awaitable[None]],
) -> Exception | None:
    """Asks for everything in `asks` and keeps what comes of it, failures too.

    What is under way when something goes wrong is finished and kept: it is paid for.

    Args:
      asks: taken one by one; all prompts together would fill the memory.
      answer: what comes of one; adds to the usage what that takes.
      keep: given what came of one, or None and why nothing did.

    Returns:
      The error after which nothing more was asked, `BudgetError` say; None if all was asked.
    """
    crew = _Crew(iter(asks), answer, keep)
    await asyncio.gather(*(crew.work() for _ in range(concurrency)))
    return crew.stopped


@dataclasses.dataclass
class _Crew(Generic[Ask, Had]):
    rest: Iterator[Ask]
    answer: Callable[[Ask, Usage], Awaitable[Had]]
    keep: Callable[[Ask, Had | None, str | None, Usage], Awaitable[None]]
    stopped: Exception | None = None

    async def work(self) -> None:
        for ask in self.rest:
            usage = Usage()
            try:
                await self._ask(ask, usage)
            except Exception as error:
                self.stopped = self.stopped or error
            if self.stopped is not None:
                return

    async def _ask(self, ask: Ask, usage: Usage) -> None:
        try:
            had = await self.answer(ask, usage)
        except (TransientError, RefusedError, NonsenseError) as error:
            await self.keep(ask, None, str(error), usage)
        except Exception as error:
            if usage.cost:
                await self.keep(ask, None, f"stopped half-way: {error}", usage)
            raise
        else:
            await self.keep(ask, had, None, usage)
