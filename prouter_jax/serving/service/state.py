"""What the requests of an application share."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

from prouter_jax.serving.service.identity import Identity
from prouter_jax.serving.service.limits import RateLimit
from prouter_jax.serving.service.route_queue import RouteQueue
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.telemetry import Log, Metrics


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the HTTP interface treats requests.

    Attributes:
      identity: says who a request is of.
      rate: requests a second of each caller; None for no limit.
      max_body: bytes of a request's body.
    """

    identity: Identity
    rate: float | None = None
    max_body: int = 1 << 20


@dataclasses.dataclass
class State:
    """The service, its settings and counters; `routes` computes answers to /v1/route, `threads` to other requests."""

    service: Service
    settings: Settings
    metrics: Metrics
    log: Log
    rates: RateLimit
    threads: ThreadPoolExecutor
    routes: RouteQueue
