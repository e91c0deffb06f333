"""One request to an OpenAI-compatible server, and what its errors mean for the asker."""

import asyncio
import dataclasses
import datetime
import email.utils
import math
from typing import Any

from prouter_jax.asking.address import Address

Messages = list[dict[str, str]]

_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_ERROR = 500
_LONGEST_REASON = 200


@dataclasses.dataclass(frozen=True)
class Server:
    """An LLM, where it is, and what it is told with every request.

    Attributes:
      name: of the LLM, for complaints.
      model: what the server calls it.
      timeout: seconds for one reply.
      max_output_tokens: for one reply, thinking included; `output_limit` is what the server calls this limit.
      temperature: None leaves it to the server.
    """

    name: str
    model: str
    address: Address
    timeout: float
    max_output_tokens: int
    output_limit: str
    temperature: float | None = None


@dataclasses.dataclass(frozen=True)
class Reply:
    """What an LLM said.

    Attributes:
      input_tokens, output_tokens: as the server counted them, None where it did not.
      finish_reason: as the server says, "length" where `max_output_tokens` cut the text off; "" where it does not say.
    """

    text: str
    input_tokens: int | None
    output_tokens: int | None
    finish_reason: str = ""


class TransientError(Exception):
    """Asking again may help.

    Attributes:
      wait: seconds the server asks to wait, None where it does not say.
      maybe_paid: the server may have done the work.
    """

    def __init__(self, reason: str, wait: float | None = None, maybe_paid: bool = False):
        super().__init__(reason)
        self.wait, self.maybe_paid = wait, maybe_paid


class RefusedError(Exception):
    """This request is not going to be answered, however often it is made."""


class Client:
    """Speaks to one server; an async context manager. The key appears in no error."""

    def __init__(self, server: Server):
        """
        Raises:
          ValueError: if the package openai is missing, or the key.
        """
        self.server = server
        self._openai = _import_openai()
        self._key = server.address.key()
        self._client = self._openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=server.address.base_url, max_retries=0, timeout=server.timeout
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_) -> None:
        await self._client.close()

    async def complete(self, messages: Messages) -> Reply:
        """One request, never repeated.

        Raises:
          TransientError: on 408, 429, 5xx, time-outs, lost connections and bodies that are no chat completion.
          RefusedError: on any other 4xx.
          ValueError: where the same would happen to every request: wrong key, no such model, no credit.
        """
        server = self.server
        asked: dict[str, Any] = {"model": server.model, "messages": messages}
        asked[server.output_limit] = server.max_output_tokens
        if server.temperature is not None:
            asked["temperature"] = server.temperature
        try:
            # the client's own time-out starts anew with every byte: a server that trickles would never end
            async with asyncio.timeout(server.timeout):
                response = await self._client.chat.completions.create(**asked)
        except (TimeoutError, self._openai.APITimeoutError):
            raise TransientError(f"no reply within {server.timeout:g} s", maybe_paid=True) from None
        except self._openai.APIStatusError as error:
            raise self._meaning(error) from None
        except self._openai.APIConnectionError as error:
            cause = error.__cause__ or error
            reached = "Connect" not in type(cause).__name__  # ConnectError: there was nobody to pay
            raise TransientError(f"connection failed: {self._clean(str(cause))}", maybe_paid=reached) from None
        except (self._openai.APIError, ValueError):
            raise TransientError("not a chat completion", maybe_paid=True) from None
        return _reply_of(response)

    def _meaning(self, error) -> Exception:
        """Which of the errors of `complete` an HTTP status is."""
        status, reason = error.status_code, self._clean(f"HTTP {error.status_code}: {error.message}")
        if status in (401, 404) or error.code == "insufficient_quota":
            return ValueError(f"{self.server.name}: the server refuses every request: {reason}")
        if status in (_TIMED_OUT, _TOO_MANY) or status >= _SERVER_ERROR:
            return TransientError(reason, _retry_after(error.response.headers.get("retry-after")))
        return RefusedError(reason)

    def _clean(self, text: str) -> str:
        """One short line, without the key: servers like to say which key they did not accept."""
        return " ".join((text.replace(self._key, "[key]") if self._key else text).split())[:_LONGEST_REASON]


def _import_openai():
    try:
        import openai
    except ImportError:
        raise ValueError("asking an LLM needs the package openai: pip install 'prouter-jax[judge]'") from None
    return openai


def _reply_of(response) -> Reply:
    """Servers differ in what they leave out; a page of HTML comes as a plain str."""
    choices = getattr(response, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if not isinstance(choices, list) or message is None:
        raise TransientError("not a chat completion", maybe_paid=True)
    usage = getattr(response, "usage", None)
    tokens = _count(getattr(usage, "prompt_tokens", None)), _count(getattr(usage, "completion_tokens", None))
    text, reason = getattr(message, "content", None), getattr(choices[0], "finish_reason", None)
    return Reply(_text(text), *tokens, _text(reason))


def _text(found) -> str:
    """Half a character, as JSON may have it, would fit into no table."""
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) else ""


def _count(tokens) -> int | None:
    return tokens if type(tokens) is int and tokens >= 0 else None


def _retry_after(header: str | None) -> float | None:
    """Seconds, from either form of the header; None where it makes no sense."""
    try:
        seconds = float(header or "")
        return None if math.isnan(seconds) else max(seconds, 0.0)
    except ValueError:
        pass
    try:
        then = email.utils.parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return max((then - datetime.datetime.now(then.tzinfo)).total_seconds(), 0.0)
