"""Queries, LLMs and server responses for tests of collection."""

import json

import numpy as np
from judge_server import Act
from processes import HANG

from prouter_jax.data.interactions import strings
from prouter_jax.llm.answers import Queries
from prouter_jax.llm.pool import RemoteLlm


def make_queries(number: int) -> Queries:
    """Queries q0, q1 ..."""
    none = np.full(number, "", object)
    ids, texts = (strings([f"{kind}{row}" for row in range(number)]) for kind in ("q", "What is "))
    return Queries(ids, texts, none, none, none, none)


def make_llm(server, name: str = "a", **changes) -> RemoteLlm:
    """An LLM at a `JudgeServer`; does not wait long."""
    quick = {"base_url": server.url, "attempts": 3, "backoff": 0.01, "timeout": HANG, "max_output_tokens": 50}
    return RemoteLlm(name, f"model-{name}", **({"input_price": 10.0, "output_price": 100.0} | quick | changes))


def echo(messages, number) -> Act:
    """Says the query again."""
    return Act(f"You asked: {messages[-1]['content']}")


def lines(path) -> list[dict]:
    """The lines of a JSONL file, none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
