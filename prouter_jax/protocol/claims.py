"""Work that several processes share: a claim is held by one of them, and ends with that process however it ends."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator


class Busy(Exception):
    """Another process is at it."""


@contextlib.contextmanager
def claim(path: pathlib.Path) -> Iterator[None]:
    """Holds the claim `path`, a file that is there no longer than the work takes.

    Raises:
      Busy: if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(str(path)) from None
        try:
            yield
        finally:
            # who opened it a moment ago holds a nameless file then: at worst something is measured twice
            path.unlink(missing_ok=True)
