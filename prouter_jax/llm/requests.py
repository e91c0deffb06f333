"""Requests to LLMs: retries and back-off, a rate limit, fair shares of the concurrent slots, a budget, and long lists.

Each result of a list is stored as soon as it arrives, and a stop wastes nothing.
"""

import asyncio
import collections
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import aiolimiter
import tenacity

from prouter_jax.llm.budget import Budget, BudgetError, Usage, charge
from prouter_jax.llm.client import Client
from prouter_jax.llm.completions import RefusedError, Reply, TransientError
from prouter_jax.llm.pool import Messages, RemoteLlm

_MAX_BACKOFF = 60.0  # seconds
_MAX_RETRY_AFTER = 600.0  # seconds

Request = TypeVar("Request")
Result = TypeVar("Result")
Send = Callable[[Request, Usage], Awaitable[Result]]
Before = Callable[[float], Awaitable[None]]
Store = Callable[[Request, Result | None, str | None, Usage], Awaitable[None]]


class FairSemaphore:
    """Limits the concurrent requests of all LLMs; a free slot goes to the waiting LLM with the fewest running requests.

    While several LLMs wait, the slots that become free go to an equal share for each, however slow one of them is.
    """

    def __init__(self, slots: int):
        self._free = slots
        self._running: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[asyncio.Future]] = collections.defaultdict(collections.deque)

    @contextlib.asynccontextmanager
    async def acquire(self, llm: str) -> AsyncIterator[None]:
        """Waits for a slot and holds it until the end of the block."""
        loop = asyncio.get_running_loop()
        slot = loop.create_future()
        self._waiting[llm].append(slot)
        loop.call_soon(self._assign)  # later, when all tasks that start now wait: the first LLM must not get every slot
        await slot
        try:
            yield
        finally:
            self._running[llm] -= 1
            self._free += 1
            self._assign()

    def _assign(self) -> None:
        while self._free and (waiting := [llm for llm, slots in self._waiting.items() if slots]):
            llm = min(waiting, key=self._running.__getitem__)
            slot = self._waiting[llm].popleft()
            if not slot.done():  # the task may have been cancelled
                self._free -= 1
                self._running[llm] += 1
                slot.set_result(None)


class Requester:
    """Sends requests to one LLM; the budget and the semaphore are shared by all LLMs of a run.

    Attributes:
      stop_error: an error that every further request raises, for example because the server refuses all requests; set
        here, and by `stop_on_signals`.
    """

    def __init__(self, llm: RemoteLlm, budget: Budget, semaphore: FairSemaphore):
        """
        Raises:
          ValueError: if the package openai or the API key is missing.
        """
        self.llm, self.budget, self.semaphore = llm, budget, semaphore
        self.client = Client(llm)
        self.stop_error: Exception | None = None
        # one request in each interval: evenly spread, without a burst
        per_minute = llm.requests_per_minute
        self._limiter = aiolimiter.AsyncLimiter(1, 60 / per_minute) if per_minute else None
        self._turn = asyncio.Lock()

    async def complete(self, messages: Messages, usage: Usage, before: Before | None = None) -> Reply:
        """Requests one reply; transient errors are retried.

        Args:
          usage: receives the tokens and the cost of all attempts.
          before: called before each attempt, with the most in USD that it and those before may cost.

        Raises:
          TransientError: if the last attempt fails, or the server asks for a delay of more than ten minutes.
          RefusedError, ValueError: see `Client.complete`.
          BudgetError: if the rest of the budget does not cover one more attempt.
          Exception: `stop_error`, if it is set.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=lambda state: state.attempt_number >= self.llm.attempts or _retry_after(state) > _MAX_RETRY_AFTER,
            wait=lambda state: retry_delay(state.attempt_number, _retry_after(state), self.llm.backoff),
        )
        try:
            return await retrying(self._complete_once, messages, usage, before)
        except tenacity.RetryError as error:
            last = error.last_attempt
            raise TransientError(f"after {last.attempt_number} attempts: {last.exception()}") from None

    async def _complete_once(self, messages: Messages, usage: Usage, before: Before | None) -> Reply:
        async with self._turn:  # only one task waits in the limiter; the others see `stop_error` at once
            self._raise_if_stopped()
            if self._limiter is not None:
                await self._limiter.acquire()
        async with self.semaphore.acquire(self.llm.name):
            self._raise_if_stopped()
            reserved, cost = self.llm.max_cost(messages), 0.0
            await self._reserve(reserved)
            try:
                if before is not None:
                    await before(usage.cost + reserved)
                reply = await self.client.complete(messages)
                cost = charge(self.llm, usage, messages, reply)
                return reply
            except TransientError as error:
                cost = charge(self.llm, usage, messages, None) if error.maybe_charged else 0.0
                raise
            except ValueError as error:
                self.stop_error = self.stop_error or error
                raise
            finally:
                await self.budget.settle(reserved, cost)

    async def _reserve(self, amount: float) -> None:
        try:
            await self.budget.reserve(amount)
        except BudgetError as error:
            self.stop_error = self.stop_error or error
            raise

    def _raise_if_stopped(self) -> None:
        if self.stop_error is not None:
            raise self.stop_error


def retry_delay(attempt: int, retry_after: float, backoff: float) -> float:
    """Seconds to wait after a failed attempt: retry_after + u * min(backoff * 2^(attempt - 1), 60), u in [1/2, 1].

    Args:
      attempt: number of the failed attempt, from 1.
      retry_after: seconds that the server asked for, 0 if it did not.
      backoff: seconds after the first attempt.
    """
    return retry_after + min(backoff * 2.0 ** (attempt - 1), _MAX_BACKOFF) * random.uniform(0.5, 1)


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


@contextlib.contextmanager
def stop_on_signals(requesters: Sequence[Requester]) -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM stops the requesters; requests under way are still finished.

    The second signal of a kind has the effect that it had before. Must be entered in a running event loop; has no
    effect outside the main thread or on Windows.
    """
    loop, before = asyncio.get_running_loop(), {}

    def stop(number: int) -> None:
        for requester in requesters:
            requester.stop_error = requester.stop_error or InterruptedError("interrupted; the same command goes on")
        release(number)

    def release(number: int) -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before.pop(number))  # asyncio would leave the system's own

    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, stop, number)
            before[number] = handler
    try:
        yield
    finally:
        for number in list(before):
            release(number)


def _retry_after(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return (error.retry_after or 0.0) if isinstance(error, TransientError) else 0.0


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
