"""Concurrent requests from a lazy list; each result is stored as soon as it arrives, and a stop wastes nothing."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from prouter_jax.llm.budget import Usage
from prouter_jax.llm.client import RefusedError, TransientError
from prouter_jax.llm.requests import Requester

Request = TypeVar("Request")
Result = TypeVar("Result")
Send = Callable[[Request, Usage], Awaitable[Result]]
Store = Callable[[Request, Result | None, str | None, Usage], Awaitable[None]]


async def process_all(
    requests: Iterable[Request], concurrency: int, send: Send[Request, Result], store: Store[Request, Result]
) -> Exception | None:
    """Sends all requests and stores their results and failures.

    After an error that concerns all requests no new one is sent; those under way are finished and stored, because they
    are paid for.

    Args:
      requests: taken one at a time, so that not all prompts are in memory.
      concurrency: number of workers.
      send: returns the result of a request; adds its tokens and cost to the usage.
      store: gets the request, its result or None, the reason of a failure or None, and the usage.

    Returns:
      The error that ended the run early, a `BudgetError` for example; None if all requests were sent.
    """
    rest, stop_error = iter(requests), None

    async def work() -> None:
        nonlocal stop_error
        for request in rest:
            try:
                await _process(request, send, store)
            except Exception as error:
                stop_error = stop_error or error
            if stop_error is not None:
                return

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return stop_error


async def _process(request: Request, send: Send[Request, Result], store: Store[Request, Result]) -> None:
    usage = Usage()
    try:
        result = await send(request, usage)
    except (TransientError, RefusedError) as error:  # of this request only
        await store(request, None, str(error), usage)
    except Exception as error:
        if usage.cost:
            await store(request, None, f"stopped half-way: {error}", usage)
        raise
    else:
        await store(request, result, None, usage)


@contextlib.contextmanager
def stop_on_signals(requesters: Sequence[Requester]) -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM stops the requesters; requests under way are still finished.

    The second signal of a kind has its usual effect. Must be entered in a running event loop; has no effect outside
    the main thread or on Windows.
    """
    loop, handled = asyncio.get_running_loop(), []

    def stop(number: int) -> None:
        for requester in requesters:
            requester.stop_error = requester.stop_error or InterruptedError("interrupted; the same command goes on")
        loop.remove_signal_handler(number)

    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
