"""The HTTP interface of a `Service`: a FastAPI application."""

import contextlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

import prouter_jax
from prouter_jax.serving.service.endpoints import router
from prouter_jax.serving.service.errors import ApiError, describe
from prouter_jax.serving.service.limits import RateLimit, read_body
from prouter_jax.serving.service.route_queue import RouteQueue
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.state import Settings, State
from prouter_jax.serving.service.telemetry import Log, Metrics

_ABOUT = "Picks an LLM for each user and each request, and learns from each user's feedback."
_THREADS = 2  # that take feedback: more would wait for each other


def make_app(service: Service, settings: Settings, log: Log | None = None, metrics: Metrics | None = None) -> FastAPI:
    """Makes the application, which closes the service when it ends."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="feedback")
    routes = RouteQueue(service.route_all)
    rates = RateLimit(settings.rate)
    state = State(service, settings, metrics or Metrics(), log or Log(), rates, threads, routes)
    state.metrics.dropped.set(service.dropped)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.log.write("started", version=prouter_jax.__version__, models=len(service.live.llms))
        yield
        threads.shutdown()
        service.close()
        state.log.write("stopped")

    app = FastAPI(
        title="prouter",
        version=prouter_jax.__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.shared = state
    for kind, handle in ((ApiError, _answer), (RequestValidationError, _on_invalid), (HTTPException, _on_http)):
        app.add_exception_handler(kind, handle)
    app.include_router(router)
    app.add_middleware(Guard, state=state)
    return app


class Guard:
    """ASGI middleware around all requests: keys, rates, bodies, unexpected errors, times.

    Nothing of a body is read before the caller is known.
    """

    def __init__(self, app: Any, state: State):
        self._app, self._state = app, state

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def noting(message: dict) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, await self._admit(scope, receive), noting)
        except ApiError as error:
            await _send(error, scope, receive, noting)
        except Exception as error:  # what it says may have parts of the request
            self._state.log.write("error", kind=type(error).__name__, place=_place(error))
            await _send(ApiError(500, "expected an answer, found an error of the service"), scope, receive, noting)
        self._count(scope, status, time.perf_counter() - begun)

    async def _admit(self, scope: dict, receive: Any) -> Any:
        """Finds the caller and reads the body, within their limits; returns a `receive` that has the body."""
        if scope["path"].startswith("/v1/"):
            scope["caller"] = self._state.settings.identity.caller(Headers(scope=scope))
            self._state.rates.take(scope["caller"].name)
        body = await read_body(receive, self._state.settings.max_body)
        given = False

        async def replay() -> dict:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return replay

    def _count(self, scope: dict, status: int, seconds: float) -> None:
        endpoint = getattr(scope.get("route"), "path", "other")
        self._state.metrics.requests.labels(endpoint, str(status)).inc()
        self._state.metrics.seconds.labels(endpoint).observe(seconds)
        if status >= 400:
            self._state.log.write("refused", endpoint=endpoint, status=status)


async def _send(error: ApiError, scope: dict, receive: Any, send: Any) -> None:
    await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)


async def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status, error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _answer(request, describe(list(error.errors())))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: "path: expected one that /docs lists, found another", 405: "method: expected another for this path"}
    message = known.get(error.status_code, str(error.detail))
    return await _answer(request, ApiError(error.status_code, message, headers=error.headers))


def _place(error: Exception) -> str:
    """File and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
