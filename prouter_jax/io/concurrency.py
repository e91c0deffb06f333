"""Reading and writing in background threads."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def prefetch(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yields the items of an iterator; a thread computes the next item while the caller uses the current one.

    NumPy and Arrow release the interpreter lock while they compute, so both run in parallel. An exception of the
    iterator is raised at the item's position.
    """
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, items, _END)
            yield item


@contextlib.contextmanager
def in_background(function: Callable[..., None]) -> Generator[Callable[..., None], None, None]:
    """Runs calls of `function` in a thread, in their order; a call waits until the one before has ended.

    Yields:
      A function with the arguments of `function`. It raises the exception of the call before; the exception of the
      last call is raised at the end of the context.
    """
    with ThreadPoolExecutor(1) as thread:
        pending: list[Future] = []

        def call(*arguments) -> None:
            if pending:
                pending.pop().result()
            pending.append(thread.submit(function, *arguments))

        yield call
        if pending:
            pending.pop().result()
