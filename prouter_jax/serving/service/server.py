"""Runs the application: listens, answers, and ends on SIGTERM or SIGINT once what runs is answered."""

import signal
import socket
from typing import Any

import uvicorn

from prouter_jax.serving.service.telemetry import Log

_SECONDS_TO_END = 10
_BACKLOG = 2048


def run(app: Any, host: str, port: int, log: Log) -> None:
    """Serves until a signal; then takes no more requests and gives those at work 10 s.

    Args:
      app: from `app.make_app`.
      host: address to listen on.
      port: 0 for any free one; the log says which.

    Raises:
      OSError: if the port is taken.
    """
    with socket.create_server((host, port), backlog=_BACKLOG, family=_family(host)) as listening:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_END,
            lifespan="on",
        )
        _ignore_signals()  # uvicorn handles them, then raises them again for whoever handled them before
        log.write("listening", host=host, port=listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
