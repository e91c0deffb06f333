"""Locks of processes: a lock file has one holder at a time, and is free again once that process ends in any way."""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock


class Busy(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
    """Holds the lock file `path` within the context, and removes it afterwards.

    Args:
      path: on this machine; its folder is made if it is missing.

    Raises:
      Busy: if another process holds it.
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
