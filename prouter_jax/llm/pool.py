"""The pool of LLMs to ask, read from a JSON object of name -> fields; see `PoolLlm` for the fields."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

from prouter_jax.io.paths import make_path
from prouter_jax.llm.budget import Budget, Prices
from prouter_jax.llm.client import ChatModel, Client, Endpoint, Messages, find_endpoint
from prouter_jax.llm.requests import FairSemaphore, Requester


@dataclasses.dataclass(frozen=True)
class PoolLlm:
    """An LLM of the pool.

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

    def make_requester(self, budget: Budget, semaphore: FairSemaphore) -> Requester:
        """A requester for this LLM.

        Args:
          budget, semaphore: shared by all LLMs of a run.

        Raises:
          ValueError: if the package openai or the API key is missing.
        """
        limits = self.timeout, self.max_output_tokens, self.output_limit, self.temperature
        client = Client(ChatModel(self.name, self.model, self.endpoint(), *limits))
        retries = self.attempts, self.backoff, self.requests_per_minute
        return Requester(client, self.prices(), budget, semaphore, *retries)

    def prices(self) -> Prices:
        """Token prices; a lost answer is charged at its maximum length, so that the budget is never exceeded."""
        return Prices(self.input_price, self.output_price, self.max_output_tokens, self.max_output_tokens)

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


def read_llms(path: str | os.PathLike) -> list[PoolLlm]:
    """Reads a pool of LLMs from a JSON file.

    Raises:
      ValueError: one line with file, LLM and field, what was expected and what was found.
    """
    path = make_path(path)
    try:
        parsed = json.loads(path.read_bytes(), object_pairs_hook=_unique_names)
    except OSError as error:
        raise ValueError(f"{path.name}: expected a readable file, found {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: expected JSON, found {' '.join(str(error).split())}") from None
    if not isinstance(parsed, dict) or not parsed:
        raise ValueError(f"{path.name}: expected an object of LLMs by name, found {json.dumps(parsed)[:80]}")
    return [_read_llm(f"{path.name}, llm {name!r}", name, fields) for name, fields in parsed.items()]


def _unique_names(pairs: list[tuple[str, object]]) -> dict:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} twice in one object")
    return dict(pairs)


def _read_llm(place: str, name: str, fields: object) -> PoolLlm:
    if not name.strip() or not isinstance(fields, dict):
        raise ValueError(f"{place}: expected a name and an object of fields, found {json.dumps(fields)[:80]}")
    declared = {field.name: field for field in dataclasses.fields(PoolLlm) if field.name != "name"}
    for field in fields:
        if field not in declared:
            raise ValueError(f"{place}, field {field}: expected one of {', '.join(declared)}")
    for field in declared.values():
        if field.default is dataclasses.MISSING and field.name not in fields:
            raise ValueError(f"{place}, field {field.name}: expected it, found none")
    values = {field: _check_value(place, field, declared[field].type, value) for field, value in fields.items()}
    llm = PoolLlm(name, **values)
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
