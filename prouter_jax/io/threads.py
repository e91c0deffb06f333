"""Reading, scoring and writing at the same time: NumPy and Arrow let other threads run while they compute."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items of an iterator, each made by another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, items, _END)
            yield item


@contextlib.contextmanager
def behind(function: Callable[..., None]) -> Generator[Callable[..., None], None, None]:
    """Calls of `function` that another thread makes in their order; each waits only until the one before is done.

    What a call raises is raised by the next one, or at the end.
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
