"""Reads what an OpenAI-compatible server sends back: the answer, its tokens, or an error under HTTP 200.

Servers differ. The content is a text or a list of parts (Mistral, Anthropic); thoughts come as parts, as the field
reasoning_content (DeepSeek, vLLM) or reasoning (OpenRouter), or between tags in the text. A reply keeps them between
tags, from where `data.thoughts` strips them: they are paid for, and no part of the answer.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

_MOST_TOKENS = 10**9  # as in tables of outcomes; costs and columns hold no more
_THOUGHT_FIELDS = ("reasoning_content", "reasoning")
_THOUGHT_PARTS = ("thinking", "reasoning", "thought")
_LOWEST_STATUS, _HIGHEST_STATUS = 400, 599


@dataclasses.dataclass(frozen=True)
class Reply:
    """A reply of an LLM.

    Attributes:
      text: with the thoughts of the model between tags; "" if the reply has no text.
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


@dataclasses.dataclass(frozen=True)
class ServerError:
    """An error in the body of a response.

    Attributes:
      message: in the server's words.
      code: as the server gives it, "" for none.
      status: the HTTP status that the code names, 0 for none.
    """

    message: str
    code: str
    status: int


def find_error(response) -> ServerError | None:
    """The error object of a response that came with HTTP 200, of the whole or of its choice; None without one."""
    for holder in (response, _choice(response)):
        error = _get(holder, "error")
        if error:
            code = _get(error, "code", "type", "status")
            message = error if isinstance(error, str) else _get(error, "message", "detail") or "no message"
            code = str(code) if isinstance(code, int | str) else ""
            number = int(code) if code.isascii() and code.isdecimal() else 0
            return ServerError(_text(str(message)), code, number if _LOWEST_STATUS <= number <= _HIGHEST_STATUS else 0)
    return None


def read_reply(response, redact: Callable[[str], str]) -> Reply:
    """The reply in a parsed response, without the key.

    Args:
      response: what the package openai made of the body; servers leave out fields, and a page of HTML is a str.
      redact: removes the key from a text.

    Raises:
      TransientError: if it is no chat completion.
    """
    choice = _choice(response)
    message = _get(choice, "message")
    if message is None:
        raise TransientError("not a chat completion", maybe_charged=True)
    text, usage = _full_text(message), _get(response, "usage")
    tokens = [_token_count(_get(usage, name)) for name in ("prompt_tokens", "completion_tokens")]
    # a prompt has tokens, and so has a text: servers that do not count report 0
    input_tokens, output_tokens = tokens[0] or None, tokens[1] or (None if text else tokens[1])
    return Reply(redact(text), input_tokens, output_tokens, redact(_text(_get(choice, "finish_reason"))))


def _choice(response):
    choices = _get(response, "choices")
    return choices[0] if isinstance(choices, list) and choices else None


def _get(holder, *names: str) -> Any:
    """The first field of these names that has a value, of an object of openai's or of plain JSON."""
    for name in names:
        value = holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
        if value is not None and not callable(value):
            return value
    return None


def _full_text(message) -> str:
    """The answer of a message, after its thoughts between tags; a refusal counts as an answer."""
    content = _get(message, "content")
    parts = [("", content)] if isinstance(content, str) else list(_parts(content))
    thoughts = [text for kind, text in parts if kind in _THOUGHT_PARTS]
    answer = "".join(text for kind, text in parts if kind not in _THOUGHT_PARTS) or _text(_get(message, "refusal"))
    thought = "\n".join(thoughts) or next(filter(None, (_text(_get(message, name)) for name in _THOUGHT_FIELDS)), "")
    return _text(f"<think>\n{thought}\n</think>\n\n{answer}" if thought else answer)


def _parts(content) -> Iterator[tuple[str, str]]:
    """The type and text of each part of a content, also where a part has parts itself."""
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            yield "", part
            continue
        kind = _text(_get(part, "type"))
        inner = _get(part, "text", *_THOUGHT_PARTS, "refusal", "content")
        texts = [inner] if isinstance(inner, str) else [text for _, text in _parts(inner)]
        yield from ((kind, text) for text in texts)


def _text(value) -> str:
    """Text without lone surrogates, which JSON allows and UTF-8 tables do not; "" for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _token_count(tokens) -> int | None:
    """A number of tokens, also one written as 7.0 or "7"; None for anything else."""
    if isinstance(tokens, str):
        tokens = int(tokens) if tokens.isascii() and tokens.isdecimal() and len(tokens) < 19 else None
    if isinstance(tokens, float):
        tokens = int(tokens) if tokens.is_integer() else None
    return tokens if type(tokens) is int and 0 <= tokens <= _MOST_TOKENS else None
