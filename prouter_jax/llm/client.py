"""Client of one LLM at an OpenAI-compatible server; it sends single requests and classifies their errors.

After a `TransientError` a retry may succeed, a `RefusedError` concerns one request, a ValueError concerns all requests.
"""

import asyncio
import dataclasses
import datetime
import email.utils
import math
from typing import Any

from prouter_jax.llm.pool import Messages, RemoteLlm

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
    """Sends requests to one LLM; an async context manager. The API key never appears in an error message."""

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
        self._openai = openai
        endpoint = llm.endpoint()
        self._key = endpoint.read_key()
        # every attempt reserves money and waits for the rate limit, so `llm.requests.Requester` retries, not openai
        self._client = self._openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=endpoint.base_url, max_retries=0, timeout=llm.timeout
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
            reason = f"connection failed: {self._redact(str(cause))}"
            raise TransientError(reason, maybe_charged=connected) from None
        except (self._openai.APIError, ValueError):
            raise TransientError("not a chat completion", maybe_charged=True) from None
        return _parse_reply(response)

    def _classify_status(self, error) -> Exception:
        """The exception of `complete` for an HTTP error status."""
        status, reason = error.status_code, self._redact(f"HTTP {error.status_code}: {error.message}")
        if status in (401, 404) or error.code == "insufficient_quota":
            return ValueError(f"{self.llm.name}: the server refuses every request: {reason}")
        if status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS) or status >= _SERVER_ERROR:
            return TransientError(reason, _parse_retry_after(error.response.headers.get("retry-after")))
        return RefusedError(reason)

    def _redact(self, text: str) -> str:
        """One short line without the key: servers tend to repeat a key that they did not accept."""
        return " ".join((text.replace(self._key, "[key]") if self._key else text).split())[:_MAX_REASON_LENGTH]


def _parse_reply(response) -> Reply:
    """The reply in a parsed response; servers differ in the fields that they leave out, and a page of HTML is a str."""
    choices = getattr(response, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if not isinstance(choices, list) or message is None:
        raise TransientError("not a chat completion", maybe_charged=True)
    usage = getattr(response, "usage", None)
    input_tokens, output_tokens = (
        _token_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")
    )
    text, reason = getattr(message, "content", None), getattr(choices[0], "finish_reason", None)
    return Reply(_valid_text(text), input_tokens, output_tokens, _valid_text(reason))


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
