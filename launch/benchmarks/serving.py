"""Decisions of `prouter serve` over HTTP, asked by this process on the same machine."""

import asyncio
import contextlib
import json
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from ..entry import module_command
from .figures import Figure, Setting

_CONNECTIONS, _REQUESTS, _WARM = 32, 8000, 1000
_WORDS = 50  # of a text
_MOST_RUNS = 3
_HEAD = b"POST /v1/route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def measure_serve(setting: Setting) -> Iterator[Figure]:
    """Decisions a second on new texts, with the median and the 99th percentile of their latencies."""
    with tempfile.TemporaryDirectory() as name:
        workdir = pathlib.Path(name) / "run"
        train = [*module_command("train"), "--config=embedded", f"--workdir={workdir}"]
        subprocess.run(train, check=True, capture_output=True)
        with _serving(workdir) as port:
            asyncio.run(_ask(port, _WARM, seed=0))
            runs = [asyncio.run(_ask(port, _REQUESTS, seed)) for seed in range(1, 1 + min(setting.runs, _MOST_RUNS))]
    what = f"serve: {_REQUESTS:,} new texts of {_WORDS} words, {_CONNECTIONS} connections kept alive"
    rates, medians, highs = zip(*runs, strict=True)
    yield Figure("serve_rate", f"{what}: decisions", "decisions/s", list(rates), at_least=400)
    yield Figure("serve_p50", f"{what}: median latency", "ms", list(medians))
    yield Figure("serve_p99", f"{what}: 99th percentile of latency", "ms", list(highs), at_most=20)


@contextlib.contextmanager
def _serving(workdir: pathlib.Path) -> Iterator[int]:
    """A service on a workdir; yields its port."""
    command = [*module_command("serve"), f"--workdir={workdir}", "--port=0", "--trust_body"]
    log = workdir / "serve.log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file) as service:
        try:
            while not log.stat().st_size:
                if service.poll() is not None:
                    raise ValueError("serve: expected a service that listens, found one that ended")
                time.sleep(0.1)
            yield json.loads(log.read_text().splitlines()[0])["port"]
        finally:
            service.terminate()


async def _ask(port: int, requests: int, seed: int) -> tuple[float, float, float]:
    """Decisions a second, and the 50th and 99th percentile of latencies in milliseconds."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(5000)])
    bodies = [
        json.dumps({"user": f"u{rng.integers(40):02d}", "query": " ".join(rng.choice(words, _WORDS))}).encode()
        for _ in range(requests)
    ]
    latencies: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(*(_connection(port, bodies[place::_CONNECTIONS], latencies) for place in range(_CONNECTIONS)))
    seconds = time.perf_counter() - begun
    middle, high = np.percentile(1000 * np.array(latencies), [50, 99])
    return requests / seconds, float(middle), float(high)


async def _connection(port: int, bodies: list[bytes], latencies: list[float]) -> None:
    """Sends requests over one connection, each after the answer to the one before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        begun = time.perf_counter()
        writer.write(_HEAD % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ValueError(f"serve: expected an answer with status 200, found {answer[:80]!r}")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - begun)
    writer.close()
