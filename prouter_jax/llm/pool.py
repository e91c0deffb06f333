"""LLMs to ask: their servers, API keys, prices and limits; a pool of them is a JSON object of name -> fields."""

import dataclasses
import hashlib
import json
import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from prouter_jax.io.paths import make_path, require_file

Messages = list[dict[str, str]]

_OPENAI_URL = "https://api.openai.com/v1"
_THIS_MACHINE = re.compile(r"localhost|::1|127(\.\d{1,3}){3}")
_TOKENS_PER_MESSAGE = 16  # upper bound of what servers add around a message


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.

    Attributes:
      base_url: URL of the API up to /v1.
      key_variable: environment variable that holds the API key; "" for a server without keys.
      needs_key: whether a missing key is an error.
    """

    base_url: str
    key_variable: str
    needs_key: bool

    def is_readable_on_the_way(self) -> bool:
        """Whether requests go to another machine unencrypted."""
        parts = urllib.parse.urlsplit(self.base_url)
        return parts.scheme == "http" and not _THIS_MACHINE.fullmatch(parts.hostname or "")

    def read_key(self) -> str:
        """Reads the API key from the environment.

        Returns:
          The key, "" if there is none and none is needed.

        Raises:
          ValueError: if a needed key is missing, or the value is not printable ASCII without spaces.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key and self.needs_key:
            server = ", or OPENAI_BASE_URL of a server without keys" if self.base_url == _OPENAI_URL else ""
            raise ValueError(f"environment: expected {self.key_variable}{server}, found none")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"environment: expected a key of visible ASCII characters in {self.key_variable}")
        return key


def find_endpoint(base_url: str = "", key_variable: str = "") -> Endpoint:
    """Endpoint of a base URL and a key variable, with defaults from the environment.

    Args:
      base_url: default: OPENAI_BASE_URL, or OpenAI's own URL if that is not set.
      key_variable: default: OPENAI_API_KEY, but no key at all if `base_url` is given: the key of one server is never
        sent to another.

    Raises:
      ValueError: if the URL is malformed, or contains a user, password or query, which would be written to files.
    """
    if not base_url:
        base_url = os.environ.get("OPENAI_BASE_URL", "")
        needs_key = bool(key_variable) or not base_url
        base_url, key_variable = base_url or _OPENAI_URL, key_variable or "OPENAI_API_KEY"
    else:
        needs_key = bool(key_variable)
    _check_url(base_url)
    return Endpoint(base_url.rstrip("/"), key_variable, needs_key)


@dataclasses.dataclass(frozen=True)
class RemoteLlm:
    """An LLM at an OpenAI-compatible server.

    Attributes:
      name: its id in the tables.
      model: its name at the server.
      input_price, output_price: USD per million tokens.
      base_url, key_variable: its server and the environment variable of the API key, see `find_endpoint`.
      requests_per_minute: upper limit, 0 for none.
      concurrency: upper limit of concurrent requests, 0 for the limit of all LLMs together.
      max_output_tokens: limit of an answer, reasoning included; `output_limit` is the server's name of this limit.
      temperature: null for the server's default.
      system: system message before each query, "" for none.
      timeout: seconds for one answer.
      attempts: requests for one answer, at most; `backoff` is the delay in seconds after the first failure, which
        doubles with each attempt.
      family, description, pool: as in the table llms.
    """

    name: str
    model: str
    input_price: float
    output_price: float
    base_url: str = ""
    key_variable: str = ""
    requests_per_minute: float = 0.0
    concurrency: int = 0
    max_output_tokens: int = 1024
    output_limit: str = "max_completion_tokens"
    temperature: float | None = None
    system: str = ""
    timeout: float = 120.0
    attempts: int = 8
    backoff: float = 1.0
    family: str = ""
    description: str = ""
    pool: str = ""

    def endpoint(self) -> Endpoint:
        """
        Raises:
          ValueError: see `find_endpoint`.
        """
        return find_endpoint(self.base_url, self.key_variable)

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """USD for a number of tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def max_cost(self, messages: Messages) -> float:
        """Upper bound of the cost of one request in USD: every token has at least one byte."""
        tokens = sum(len(message["content"].encode()) + _TOKENS_PER_MESSAGE for message in messages)
        return self.cost(tokens, self.max_output_tokens)

    def messages(self, query: str) -> Messages:
        """The prompt for a query: the system message, if any, and the unchanged query."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": query}]

    def parameters(self) -> list:
        """Everything that an answer depends on except the query."""
        return [self.model, self.endpoint().base_url, self.max_output_tokens, self.temperature, self.system]

    def keys(self, queries: Iterable[str]) -> list[str]:
        """Journal keys of the answers to queries: SHA-256 of the query and `parameters`."""
        parameters = self.parameters()
        return [hashlib.sha256(json.dumps([query, parameters]).encode()).hexdigest() for query in queries]


def read_llms(path: str | os.PathLike) -> list[RemoteLlm]:
    """Reads a pool of LLMs from a JSON file.

    Raises:
      ValueError: one line with file, LLM and field, what was expected and what was found.
    """
    path = require_file(make_path(path))
    try:
        parsed = json.loads(path.read_bytes(), object_pairs_hook=_unique_names)
    except OSError as error:
        raise ValueError(f"{path.name}: expected a readable file, found {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: expected JSON, found {' '.join(str(error).split())}") from None
    if not isinstance(parsed, dict) or not parsed:
        raise ValueError(f"{path.name}: expected an object of LLMs by name, found {json.dumps(parsed)[:80]}")
    return [_read_llm(f"{path.name}, llm {name!r}", name, fields) for name, fields in parsed.items()]


def _check_url(base_url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, valid = None, False
    if parts is not None and (parts.username is not None or parts.password is not None or parts.query):
        raise ValueError("base_url: expected a URL without user, password or query, found one with them")
    if not valid:
        raise ValueError(f"base_url: expected http://HOST... or https://HOST..., found {base_url[:80]!r}")


def _unique_names(pairs: list[tuple[str, object]]) -> dict:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} twice in one object")
    return dict(pairs)


def _read_llm(place: str, name: str, fields: object) -> RemoteLlm:
    if not name.strip() or not isinstance(fields, dict):
        raise ValueError(f"{place}: expected a name and an object of fields, found {json.dumps(fields)[:80]}")
    declared = {field.name: field for field in dataclasses.fields(RemoteLlm) if field.name != "name"}
    for field in fields:
        if field not in declared:
            raise ValueError(f"{place}, field {field}: expected one of {', '.join(declared)}")
    for field in declared.values():
        if field.default is dataclasses.MISSING and field.name not in fields:
            raise ValueError(f"{place}, field {field.name}: expected it, found none")
    values = {field: _check_value(place, field, declared[field].type, value) for field, value in fields.items()}
    llm = RemoteLlm(name, **values)
    try:
        llm.endpoint()
    except ValueError as error:
        raise ValueError(f"{place}, field {error}") from None
    return llm


_MINIMUM = {"timeout": 0.001, "max_output_tokens": 1, "attempts": 1}
_MAXIMUM = 1e12
_NOT_EMPTY = ("model", "output_limit")


def _check_value(place: str, field: str, kind: object, value: Any) -> Any:
    """The value of a field; numbers are converted to the declared type."""
    number = isinstance(value, int | float) and type(value) is not bool and abs(value) < _MAXIMUM
    if kind is str:
        valid, expected = isinstance(value, str) and bool(value or field not in _NOT_EMPTY), "a text"
    else:
        minimum = _MINIMUM.get(field, 0)
        whole = kind is not int or type(value) is int
        valid = (number and whole and value >= minimum) or (value is None and kind == float | None)
        expected = f"a {'whole ' if kind is int else ''}number >= {minimum}"
    if not valid:
        raise ValueError(f"{place}, field {field}: expected {expected}, found {json.dumps(value)[:80]}")
    return float(value) if isinstance(value, int | float) and kind is not int else value
