"""Concurrency: reading and writing in background threads, and lock files that exclude other processes."""

import contextlib
import pathlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import filelock

Item = TypeVar("Item")
_END: Any = object()


class Busy(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock file within the context and removes it afterwards. The lock ends with its process.

    Args:
      path: the lock file, on the local machine; its folder is created if missing.

    Raises:
      Busy: if another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path)
    try:
        held.acquire(blocking=False)
    except filelock.Timeout:
        raise Busy(str(path)) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        held.release()


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
