"""Client of one LLM at an OpenAI-compatible server; it sends single requests and classifies their errors.

After a `TransientError` a retry may succeed, a `RefusedError` concerns one request, a ValueError concerns all requests.
"""

import asyncio
import contextlib
import datetime
import email.utils
import math
import os
from collections.abc import Iterator
from typing import Any

from prouter_jax.io.display import log_line
from prouter_jax.llm.completions import RefusedError, Reply, TransientError, find_error, read_reply
from prouter_jax.llm.pool import Messages, RemoteLlm, find_endpoint
from prouter_jax.llm.redaction import Redactor

_REDIRECT = 300
_CLIENT_ERROR = 400
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_MAX_REASON_LENGTH = 200


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
          An error in the body of a response of HTTP 200 counts as the status that it names.
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
        except (self._openai.APIError, ValueError, RecursionError):  # JSON nested too deeply
            raise TransientError("not a chat completion", maybe_charged=True) from None
        found = find_error(response)
        if found is not None:
            raise self._classify(found.status, f"{found.code or 'error'}: {found.message}", found.code, None)
        return read_reply(response, self._redact)

    def _classify_status(self, error) -> Exception:
        """The exception of `complete` for an HTTP error status."""
        status = error.status_code
        if _REDIRECT <= status < _CLIENT_ERROR:
            target = self._one_line(error.response.headers.get("location", "nowhere"))
            return ValueError(
                f"{self.llm.name}: expected answers of {self._endpoint.base_url}, found a redirect to {target}"
            )
        retry_after = _parse_retry_after(error.response.headers.get("retry-after"))
        return self._classify(status, f"HTTP {status}: {error.message}", error.code, retry_after)

    def _classify(self, status: int, reason: str, code: str | None, retry_after: float | None) -> Exception:
        """The exception for an error of the server; a status of 0 is an unknown one, which may have been charged."""
        reason = self._one_line(reason)
        if status in (401, 404) or code == "insufficient_quota":
            return ValueError(f"{self.llm.name}: the server refuses every request: {reason}")
        if status in (0, _REQUEST_TIMEOUT, _TOO_MANY_REQUESTS) or status >= _SERVER_ERROR:
            return TransientError(reason, retry_after, maybe_charged=not status)
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
