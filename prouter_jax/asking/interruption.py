"""Ctrl-C while LLMs are asked: no new request, but what is under way is waited for, since it is paid for."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence

from prouter_jax.asking.caller import Caller


@contextlib.contextmanager
def interruptible(callers: Sequence[Caller]) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM halt `callers`; the second one of a kind does what it does elsewhere.

    To be entered in a running event loop; does nothing but in the main thread of a process on Unix.
    """
    loop, handled = asyncio.get_running_loop(), []

    def halt(number: int) -> None:
        for caller in callers:
            caller.halted = caller.halted or InterruptedError("interrupted; the same command goes on")
        loop.remove_signal_handler(number)

    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, halt, number)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
