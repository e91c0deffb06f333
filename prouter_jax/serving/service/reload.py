"""Watches a workdir: a router that was updated, or trained anew, is loaded and put in place while requests go on."""

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from prouter_jax.io.files import version_of
from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.root_digest import ROOT
from prouter_jax.serving.router import Router
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.telemetry import Log, Metrics


def load(workdir: pathlib.Path) -> LiveRouter:
    """Loads the router that a workdir has now.

    Raises:
      ValueError: as `Router.load`.
    """
    return Router.load(workdir).live


def version(workdir: pathlib.Path) -> list | None:
    """A value that changes with the router of a workdir, also where that is a link to another folder."""
    path = workdir / ROOT
    return version_of(path) if path.exists() else None


class Reloader:
    """Looks for another router and swaps it in.

    Args:
      service: whose router is swapped.
      workdir: of the router.
      seen: `version` of the router in use, from before it was loaded.
      load: makes a router of a workdir.
    """

    def __init__(
        self,
        service: Service,
        workdir: pathlib.Path,
        seen: list | None,
        metrics: Metrics,
        log: Log,
        load: Callable[[pathlib.Path], LiveRouter] = load,
    ):
        self._service, self._workdir, self._seen = service, workdir, seen
        self._metrics, self._log, self._load = metrics, log, load

    def look(self) -> bool:
        """Loads and swaps the router if it changed; one that cannot be loaded leaves the old one in place.

        Returns:
          whether another router is in use now.
        """
        found = version(self._workdir)
        if found in (None, self._seen):
            return False
        self._seen = found
        try:
            dropped = self._service.swap(self._load(self._workdir))
        except (ValueError, OSError, ApiError) as error:
            self._metrics.reloads.labels("failed").inc()
            self._log.write("reload_failed", message=str(error))
            return False
        self._metrics.reloads.labels("done").inc()
        self._metrics.dropped.set(dropped)
        self._log.write("reloaded", unusable_feedback=dropped)
        return True


@contextlib.contextmanager
def repeating(step: Callable[[], Any], seconds: float) -> Iterator[None]:
    """Calls `step` every so many seconds, in a thread, until the context ends; an exception ends one call."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            with contextlib.suppress(Exception):
                step()

    thread = threading.Thread(target=repeat, name="repeating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()  # the thread is not waited for: a router takes long to load
