"""Client of one LLM at an OpenAI-compatible server; it sends single requests and classifies their errors.

After a `TransientError` a retry may succeed, a `RefusedError` concerns one request, a ValueError concerns all requests.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import email.utils
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

from prouter_jax.io.display import log_line
from prouter_jax.llm.pool import Messages, RemoteLlm, find_endpoint
from prouter_jax.llm.redaction import Redactor

_REDIRECT = 300
_CLIENT_ERROR = 400
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_MAX_REASON_LENGTH = 200


@dataclasses.dataclass(frozen=True)
class Reply:
    """A reply of an LLM.

    Attributes:
      text: "" if the reply has no text.
      input_tokens, output_tokens: counted by the server; None if it does not report them.
      finish_reason: as reported by the server, "length" if the text was cut off at `max_output_tokens`; "" if missing.
    """

    text: str
    input_tokens: int | None
    output_tokens: int | None
    finish_reason: str = ""


class TransientError(Exception):
    """A request failed in a way that a retry may succeed.

    Attributes:
      retry_after: seconds that the server asks to wait before a retry; None if it does not say.
      maybe_charged: whether the server may have charged for the failed request.
    """

    def __init__(self, reason: str, retry_after: float | None = None, maybe_charged: bool = False):
        super().__init__(reason)
        self.retry_after, self.maybe_charged = retry_after, maybe_charged


class RefusedError(Exception):
    """The server refuses this request; a retry would be refused as well."""


class Client:
    """Sends requests to one LLM; an async context manager.

    The API key is in no reply and no error message, even if the server repeats it. Redirects are not followed.
    """

    def __init__(self, llm: RemoteLlm):
        """
        Raises:
          ValueError: if the package openai or the API key is missing.
        """
        self.llm = llm
        try:
            import openai
        except ImportError:
            raise ValueError("asking an LLM needs the package openai: pip install 'prouter-jax[judge]'") from None
        self._openai, self._endpoint = openai, llm.endpoint()
        key = self._endpoint.read_key()
        self._redact = Redactor(key).redact
        if key and self._endpoint.is_readable_on_the_way():
            log_line(f"{llm.name}: the key goes to {self._endpoint.base_url} unencrypted: use https://")
        # openai sends organization, project and headers of OPENAI_... variables to any server
        own = self._endpoint.base_url == find_endpoint().base_url
        with contextlib.nullcontext() if own else _without_openai_variables():
            # every attempt reserves money and waits for the rate limit, so `llm.requests.Requester` retries, not openai
            self._client = openai.AsyncOpenAI(
                api_key=key or "none",
                base_url=self._endpoint.base_url,
                max_retries=0,
                timeout=llm.timeout,
                http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
            )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_) -> None:
        await self._client.close()

    async def complete(self, messages: Messages) -> Reply:
        """Sends one chat completion request, without retries.

        Raises:
          TransientError: on HTTP 408, 429 and 5xx, time-outs, lost connections and invalid response bodies.
          RefusedError: on any other 4xx.
          ValueError: if every request would fail: wrong key, no such model, no credit.
        """
        llm = self.llm
        request: dict[str, Any] = {"model": llm.model, "messages": messages}
        request[llm.output_limit] = llm.max_output_tokens  # the parameter's name differs between servers
        if llm.temperature is not None:
            request["temperature"] = llm.temperature
        try:
            # openai's own time-out restarts with every byte: a server that sends byte by byte would never time out
            async with asyncio.timeout(llm.timeout):
                response = await self._client.chat.completions.create(**request)
        except (TimeoutError, self._openai.APITimeoutError):
            raise TransientError(f"no reply within {llm.timeout:g} s", maybe_charged=True) from None
        except self._openai.APIStatusError as error:
            raise self._classify_status(error) from None
        except self._openai.APIConnectionError as error:
            cause = error.__cause__ or error
            connected = "Connect" not in type(cause).__name__  # httpx.ConnectError: no server, so no charge
            reason = f"connection failed: {self._one_line(str(cause))}"
            raise TransientError(reason, maybe_charged=connected) from None
        except (self._openai.APIError, ValueError):
            raise TransientError("not a chat completion", maybe_charged=True) from None
        return _parse_reply(response, self._redact)

    def _classify_status(self, error) -> Exception:
        """The exception of `complete` for an HTTP error status."""
        status, reason = error.status_code, self._one_line(f"HTTP {error.status_code}: {error.message}")
        if _REDIRECT <= status < _CLIENT_ERROR:
            target = self._one_line(error.response.headers.get("location", "nowhere"))
            return ValueError(
                f"{self.llm.name}: expected answers of {self._endpoint.base_url}, found a redirect to {target}"
            )
        if status in (401, 404) or error.code == "insufficient_quota":
            return ValueError(f"{self.llm.name}: the server refuses every request: {reason}")
        if status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS) or status >= _SERVER_ERROR:
            return TransientError(reason, _parse_retry_after(error.response.headers.get("retry-after")))
        return RefusedError(reason)

    def _one_line(self, text: str) -> str:
        """One short line without the key: servers tend to repeat a key that they did not accept."""
        return " ".join(self._redact(text).split())[:_MAX_REASON_LENGTH]


@contextlib.contextmanager
def _without_openai_variables() -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OPENAI_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _parse_reply(response, redact: Callable[[str], str]) -> Reply:
    """The reply in a parsed response, without the key.

    Servers differ in the fields that they leave out, and a page of HTML is a str.
    """
    choices = getattr(response, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if not isinstance(choices, list) or message is None:
        raise TransientError("not a chat completion", maybe_charged=True)
    usage = getattr(response, "usage", None)
    input_tokens, output_tokens = (
        _token_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")
    )
    text, reason = getattr(message, "content", None), getattr(choices[0], "finish_reason", None)
    return Reply(redact(_valid_text(text)), input_tokens, output_tokens, redact(_valid_text(reason)))


def _valid_text(value) -> str:
    """Text without lone surrogates, which JSON allows and UTF-8 tables do not; "" for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _token_count(tokens) -> int | None:
    return tokens if type(tokens) is int and tokens >= 0 else None


def _parse_retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number of seconds or a date; None if it is neither."""
    try:
        seconds = float(header or "")
        return None if math.isnan(seconds) else max(seconds, 0.0)
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return max((date - datetime.datetime.now(date.tzinfo)).total_seconds(), 0.0)
