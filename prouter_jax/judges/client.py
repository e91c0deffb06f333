"""One request to an OpenAI-compatible server, and what its errors mean for the asker."""

import asyncio
import dataclasses
import datetime
import email.utils
import math
import os
from typing import Any

from prouter_jax import config as config_lib
from prouter_jax.judges.dialogue import Messages

_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_ERROR = 500
_LONGEST_REASON = 200


@dataclasses.dataclass(frozen=True)
class Reply:
    """What an LLM said; tokens as the server counted them, None where it did not."""

    text: str
    input_tokens: int | None
    output_tokens: int | None


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
    """Speaks to the server that OPENAI_BASE_URL names, with the key in OPENAI_API_KEY; an async context manager.

    A server of one's own needs no key. The key appears in no error.
    """

    def __init__(self, config: config_lib.Judge):
        """
        Raises:
          ValueError: if the package openai is missing, or a key for its own server.
        """
        self.config = config
        self._key = os.environ.get("OPENAI_API_KEY", "")
        base_url = os.environ.get("OPENAI_BASE_URL") or None
        self._openai = _import_openai()
        if not self._key and base_url is None:
            raise ValueError("environment: expected OPENAI_API_KEY, or OPENAI_BASE_URL of a server without keys")
        self._client = self._openai.AsyncOpenAI(
            api_key=self._key or "none", base_url=base_url, max_retries=0, timeout=config.timeout
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
        asked: dict[str, Any] = {"model": self.config.model, "messages": messages}
        asked[self.config.output_limit] = self.config.max_output_tokens
        try:
            # the client's own time-out starts anew with every byte: a server that trickles would never end
            async with asyncio.timeout(self.config.timeout):
                response = await self._client.chat.completions.create(**asked)
        except (TimeoutError, self._openai.APITimeoutError):
            raise TransientError(f"no reply within {self.config.timeout:g} s", maybe_paid=True) from None
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
            return ValueError(f"judge: the server refuses every request: {reason}")
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
        raise ValueError("config.data.judge.name: 'llm' needs pip install 'prouter-jax[judge]' first") from None
    return openai


def _reply_of(response) -> Reply:
    """Servers differ in what they leave out; a page of HTML comes as a plain str."""
    choices = getattr(response, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if message is None:
        raise TransientError("not a chat completion", maybe_paid=True)
    usage = getattr(response, "usage", None)
    tokens = [_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")]
    text = getattr(message, "content", None)
    return Reply(text if isinstance(text, str) else "", *tokens)


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
