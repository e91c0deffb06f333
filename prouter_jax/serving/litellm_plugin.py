"""Personal routing for LiteLLM: a routing plugin that asks `prouter serve`, and a logger of what was served.

In the gateway's environment (LiteLLM 1.94 or newer; JAX is not needed there) and its config.yaml:

    router_settings:
      plugins: [prouter_jax.serving.litellm_plugin.plugin]
    litellm_settings:
      callbacks: [prouter_jax.serving.litellm_plugin.logger]

The service has a line `gateway` in its key file and `--trust_body`. Environment variables of the gateway:

    PROUTER_URL         of the service, http://127.0.0.1:8080 by default
    PROUTER_KEY         the gateway's key
    PROUTER_SECONDS     longest time that a decision may take, 0.05 by default; then LiteLLM decides alone

The user is the end user of the request (its field `user`), or else the user of LiteLLM's key. Deployments of one
`model_name` are the candidates: those whose model is, after the provider's prefix, one of the router.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

Send = Callable[[str, str, dict | None], Awaitable[dict]]  # of method, path and body

_SECONDS_OF_REST = 1.0  # after a failure the service is not asked
_SECONDS_DOWN = 30.0  # a model that failed is not picked
_SECONDS_OF_MODELS = 60.0  # the service's models are asked for again
_log = logging.getLogger(__name__)


class Plugin:
    """Narrows the candidates of a request to the model that the service picks for its user.

    It never fails a request: without an answer in time the candidates stay as they are, and `failures` counts it.

    Args:
      send: sends a request to the service; returns the answer, or raises an exception.
      seconds: longest time that a decision may take.
      clock: seconds that only rise.
    """

    def __init__(self, send: Send, seconds: float = 0.05, clock: Callable[[], float] = time.monotonic):
        self._send, self._seconds, self._clock = send, seconds, clock
        self._rest_until = 0.0
        self._down: dict[str, float] = {}
        self._models: tuple[float, frozenset[str]] = (0.0, frozenset())
        self.decisions, self.failures = 0, 0

    async def run(self, context: Any) -> Any:
        """Narrows `context.candidate_models`, as LiteLLM asks of a plugin."""
        user = _user(context.metadata)
        if user is None or len(context.candidate_models) < 2 or self._clock() < self._rest_until:
            return context
        try:
            async with asyncio.timeout(self._seconds):
                answer, names = await self._ask(user, context)
        except Exception as error:  # LiteLLM decides alone
            self.failures += 1
            self._rest_until = self._clock() + _SECONDS_OF_REST
            _log.warning("prouter: no decision (%s), %d times so far", type(error).__name__, self.failures)
            return context
        if answer is not None:
            self.decisions += 1
            context.candidate_models = [names[answer["model"]]]
            context.signals["prouter"] = {name: answer[name] for name in ("decision_id", "model", "basis", "reason")}
        return context

    async def note(self, metadata: Mapping[str, Any], model: str, served: dict[str, Any] | None) -> None:
        """Notes what became of a request.

        Args:
          metadata: of the request.
          model: the model that was asked.
          served: input_tokens, output_tokens, cost and latency of its answer; None if it failed.
        """
        if served is None:
            self._down[_name(model)] = self._clock() + _SECONDS_DOWN
            return
        self._down.pop(_name(model), None)
        decision, user = _signal(metadata), _user(metadata)
        if decision is not None and user is not None:
            body = {"decision_id": decision["decision_id"], "user": user, "model": _name(model)} | served
            try:
                await self._send("POST", "/v1/served", body)
            except Exception as error:
                self.failures += 1
                _log.warning("prouter: not noted (%s), %d times so far", type(error).__name__, self.failures)

    async def _ask(self, user: str, context: Any) -> tuple[dict | None, dict[str, str]]:
        """The service's answer, None if it knows too few of the candidates; the candidate of each of its models."""
        if self._clock() >= self._models[0]:
            listed = await self._send("GET", "/v1/models", None)
            self._models = self._clock() + _SECONDS_OF_MODELS, frozenset(one["id"] for one in listed["data"])
        names = {_name(model): model for model in context.candidate_models if _name(model) in self._models[1]}
        up = [name for name in names if self._down.get(name, 0) <= self._clock()] or list(names)
        if not up:
            return None, names
        body = {"user": user, "messages": context.structured_messages or context.raw_messages, "candidates": up}
        session = context.metadata.get("session_id") or context.metadata.get("litellm_session_id")
        return await self._send("POST", "/v1/route", body | ({"session": str(session)} if session else {})), names


def make_logger(plugin: Plugin) -> Any:
    """The logger that tells the service of what was served, and clients of the decision's id in a header."""
    from litellm.integrations.custom_logger import CustomLogger  # pyright: ignore[reportMissingImports]

    class Logger(CustomLogger):
        async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
            found = kwargs.get("standard_logging_object") or {}
            columns = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "cost": "response_cost"}
            served = {name: found.get(column) for name, column in columns.items()}
            served["latency"] = (end_time - start_time).total_seconds()
            await plugin.note(_metadata(kwargs), str(kwargs.get("model")), served)

        async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
            await plugin.note(_metadata(kwargs), str(kwargs.get("model")), None)

        async def async_post_call_response_headers_hook(self, data, user_api_key_dict, response, **_):
            decision = _signal(_metadata({"litellm_params": data}))
            return None if decision is None else {"x-prouter-decision-id": decision["decision_id"]}

    return Logger()


def connect(url: str, key: str | None) -> Send:
    """Sends requests to a service over connections that are kept."""
    import httpx  # pyright: ignore[reportMissingImports]  # LiteLLM brings it

    client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {})

    async def send(method: str, path: str, body: dict | None) -> dict:
        answer = await client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    return send


def __getattr__(name: str) -> Any:
    """`plugin` and `logger`, made by the environment when LiteLLM asks for them."""
    if name == "plugin":
        send = connect(os.environ.get("PROUTER_URL", "http://127.0.0.1:8080"), os.environ.get("PROUTER_KEY"))
        found = Plugin(send, float(os.environ.get("PROUTER_SECONDS", "0.05")))
    elif name == "logger":
        found = make_logger(globals().get("plugin") or __getattr__("plugin"))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, found)


def _user(metadata: Mapping[str, Any]) -> str | None:
    """The end user of a request, or else the user of the key."""
    names: Sequence[str] = ("user_api_key_end_user_id", "user_api_key_user_id")
    return next((str(metadata[name]) for name in names if metadata.get(name)), None)


def _name(model: str) -> str:
    """A model without its provider."""
    return model.rpartition("/")[2]


def _metadata(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = kwargs.get("litellm_params") or {}
    return parameters.get("metadata") or parameters.get("litellm_metadata") or {}


def _signal(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The decision that `Plugin.run` left in the metadata of a request."""
    return (metadata.get("routing_plugin_signals") or {}).get("prouter")
