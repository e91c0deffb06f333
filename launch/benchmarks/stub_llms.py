"""A stub of an OpenAI-compatible server in a process of its own, so that it does not slow the client down.

python -m launch.benchmarks.stub_llms '{"latency": 0.25, "faults": 0.3, "stall": 2.0, "seed": 0}'

It prints its port. The answer to a query depends on query and model alone. `faults` is the share of requests that
fail: 429, 500, a page of HTML, half a reply, or nothing for `stall` seconds. GET /counts has the number of requests and
of good answers for each (model, query).
"""

import asyncio
import collections
import contextlib
import dataclasses
import http.client
import json
import random
import re
import subprocess
import sys
import typing
from collections.abc import Iterator

from ..entry import module_command

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_FAULTS = ("busy", "broken", "garbage", "cut off", "slow")


@dataclasses.dataclass(frozen=True)
class Stub:
    """A running stub; `url` is what an LLM's base_url should be."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Numbers of requests and of good answers, by model and query."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/counts")
        rows = json.loads(connection.getresponse().read())
        connection.close()
        return {(model, query): (asked, answered) for model, query, asked, answered in rows}


@contextlib.contextmanager
def run_stub(latency: float, faults: float = 0.0, stall: float = 2.0, seed: int = 0) -> Iterator[Stub]:
    """Runs a stub for the length of a with block."""
    options = json.dumps({"latency": latency, "faults": faults, "stall": stall, "seed": seed})
    command = [*module_command("benchmarks.stub_llms"), options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Stub(int(process.stdout.readline() if process.stdout else 0))
        finally:
            process.kill()


def answer_to(model: str, query: str) -> str:
    """The stub's answer, about as long as one to an instruction."""
    return f"{model} on {query}: " + "this and that, " * (20 + len(query) % 60) + "and so on."


class _Server:
    def __init__(self, latency: float, faults: float, stall: float, seed: int):
        self.latency, self.faults, self.stall, self.rng = latency, faults, stall, random.Random(seed)
        self.asked: collections.Counter[tuple[str, str]] = collections.Counter()
        self.answered: collections.Counter[tuple[str, str]] = collections.Counter()

    def reply(self, body: bytes) -> tuple[float, bytes, bool]:
        """Seconds to wait, the response, and whether to close the connection after it."""
        request = json.loads(body)
        model, query = request["model"], request["messages"][-1]["content"]
        self.asked[model, query] += 1
        fault = self.rng.choice(_FAULTS) if self.rng.random() < self.faults else ""
        if fault == "busy":
            return 0.0, _response(429, b'{"error": {"message": "slow down"}}', "Retry-After: 0.05\r\n"), False
        if fault == "broken":
            return self.latency, _response(500, b"oops"), False
        if fault == "garbage":
            return self.latency, _response(200, b"<html>busy</html>", kind="text/html"), False
        whole = _response(200, _completion(model, query))
        if fault == "cut off":
            return self.latency, whole[: len(whole) // 2], True
        self.answered[model, query] += not fault
        return self.stall if fault else self.latency, whole, False

    def counts(self) -> bytes:
        return json.dumps([[*pair, asked, self.answered[pair]] for pair, asked in self.asked.items()]).encode()


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server):
        self.server, self.buffer = server, b""

    def connection_made(self, transport):
        self.transport = typing.cast(asyncio.Transport, transport)

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self.buffer, 0, end)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) < whole:
            return
        head, body, self.buffer = self.buffer[:end], self.buffer[end + 4 : whole], self.buffer[whole:]
        if head.startswith(b"GET"):
            self.transport.write(_response(200, self.server.counts()))
            return
        wait, content, cut = self.server.reply(body)
        asyncio.get_running_loop().call_later(wait, self._send, content, cut)

    def _send(self, content, cut):
        if not self.transport.is_closing():
            self.transport.write(content)
            if cut:
                self.transport.close()


def _completion(model: str, query: str) -> bytes:
    text = answer_to(model, query)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": len(query.split()), "completion_tokens": len(text.split())}
    head = {"id": "x", "object": "chat.completion", "created": 0, "model": model}
    return json.dumps(head | {"choices": [choice], "usage": usage | {"total_tokens": 0}}).encode()


def _response(status: int, body: bytes, headers: str = "", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _serve(options: dict) -> None:
    served = _Server(**options)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(served), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
