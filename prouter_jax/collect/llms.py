"""The pool of LLMs that are asked: a JSON object of name -> fields, see `PoolLlm`."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from prouter_jax.asking.address import Address, find_address
from prouter_jax.asking.caller import Caller
from prouter_jax.asking.client import Client, Messages, Server
from prouter_jax.asking.limits import Pace, Places
from prouter_jax.asking.retry import Retry
from prouter_jax.asking.spending import Budget, Prices
from prouter_jax.io.paths import make_path


@dataclasses.dataclass(frozen=True)
class PoolLlm:
    """An LLM of the pool.

    Attributes:
      name: its id in the tables.
      model: what its server calls it.
      input_price, output_price: USD per million tokens.
      base_url, key_variable: its server and the environment variable with the key, see `find_address`.
      requests_per_minute: at most; 0 for no limit.
      concurrency: requests under way at a time, at most; 0 for as many as all LLMs together may have.
      max_output_tokens: of an answer, thinking included; `output_limit` is what the server calls this limit.
      temperature: null leaves it to the server.
      system: a system message before each query, "" for none.
      timeout: seconds for one answer.
      attempts: requests for one answer, at most; `backoff` seconds after the first failure, twice as many each time.
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

    def address(self) -> Address:
        """
        Raises:
          ValueError: see `find_address`.
        """
        return find_address(self.base_url, self.key_variable)

    def caller(self, budget: Budget, places: Places, seed: int) -> Caller:
        """Who asks it.

        Args:
          budget, places: of all LLMs of a run.
          seed: of the waits between attempts.

        Raises:
          ValueError: if the package openai is missing, or the key.
        """
        limits = self.timeout, self.max_output_tokens, self.output_limit, self.temperature
        return Caller(
            client=Client(Server(self.name, self.model, self.address(), *limits)),
            prices=self.prices(),
            budget=budget,
            retry=Retry(self.attempts, self.backoff),
            rng=np.random.default_rng(seed),
            places=places,
            pace=Pace(self.requests_per_minute),
        )

    def prices(self) -> Prices:
        """An answer that got lost is taken to have been as long as it may be: the budget must hold."""
        return Prices(self.input_price, self.output_price, self.max_output_tokens, self.max_output_tokens)

    def messages(self, query: str) -> Messages:
        """What is sent for a query: the query as it stands."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": query}]

    def parameters(self) -> list:
        """What an answer depends on, the query apart."""
        return [self.model, self.address().base_url, self.max_output_tokens, self.temperature, self.system]

    def keys(self, queries: Iterable[str]) -> list[str]:
        """What the answers to queries are stored under: SHA-256 of the query and `parameters`."""
        parameters = self.parameters()
        return [hashlib.sha256(json.dumps([query, parameters]).encode()).hexdigest() for query in queries]


def read_llms(path: str | os.PathLike) -> list[PoolLlm]:
    """Reads a pool.

    Raises:
      ValueError: one line with file, LLM and field, what was expected and what was found.
    """
    path = make_path(path)
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except OSError as error:
        raise ValueError(f"{path.name}: expected a readable file, found {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: expected JSON, found {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path.name}: expected an object of LLMs by name, found {json.dumps(found)[:80]}")
    return [_read_llm(f"{path.name}, llm {name!r}", name, fields) for name, fields in found.items()]


def _once(pairs: list[tuple[str, object]]) -> dict:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} twice in one object")
    return dict(pairs)


def _read_llm(place: str, name: str, fields: object) -> PoolLlm:
    if not name.strip() or not isinstance(fields, dict):
        raise ValueError(f"{place}: expected a name and an object of fields, found {json.dumps(fields)[:80]}")
    known = {field.name: field for field in dataclasses.fields(PoolLlm) if field.name != "name"}
    for field in fields:
        if field not in known:
            raise ValueError(f"{place}, field {field}: expected one of {', '.join(known)}")
    for field in known.values():
        if field.default is dataclasses.MISSING and field.name not in fields:
            raise ValueError(f"{place}, field {field.name}: expected it, found none")
    llm = PoolLlm(name, **{field: _checked(place, field, known[field].type, found) for field, found in fields.items()})
    try:
        llm.address()
    except ValueError as error:
        raise ValueError(f"{place}, field {error}") from None
    return llm


_AT_LEAST = {"timeout": 0.001, "max_output_tokens": 1, "attempts": 1}
_TOO_MUCH = 1e12
_NOT_EMPTY = ("model", "output_limit")


def _checked(place: str, field: str, kind: object, found: Any) -> Any:
    """The value of a field, numbers as what they are declared to be."""
    number = isinstance(found, int | float) and type(found) is not bool and abs(found) < _TOO_MUCH
    if kind is str:
        sound, expected = isinstance(found, str) and bool(found or field not in _NOT_EMPTY), "a text"
    else:
        least = _AT_LEAST.get(field, 0)
        whole = kind is not int or type(found) is int
        sound = (number and whole and found >= least) or (found is None and kind == float | None)
        expected = f"a {'whole ' if kind is int else ''}number >= {least}"
    if not sound:
        raise ValueError(f"{place}, field {field}: expected {expected}, found {json.dumps(found)[:80]}")
    return float(found) if isinstance(found, int | float) and kind is not int else found
