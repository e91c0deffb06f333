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
_RATE = 400  # decisions a second, at which latencies are measured
_WORDS = 50  # of a text
_MOST_RUNS = 3
_HEAD = b"POST /v1/route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def measure_serve(setting: Setting) -> Iterator[Figure]:
    """The most decisions a second on new texts, and the latencies at a fixed rate of requests."""
    with tempfile.TemporaryDirectory() as name:
        workdir = pathlib.Path(name) / "run"
        train = [*module_command("train"), "--config=embedded", f"--workdir={workdir}"]
        subprocess.run(train, check=True, capture_output=True)
        with _serving(workdir) as port:
            asyncio.run(_ask(port, _WARM, 0, None))
            seeds = range(1, 1 + min(setting.runs, _MOST_RUNS))
            most = [_REQUESTS / asyncio.run(_ask(port, _REQUESTS, seed, None))[0] for seed in seeds]
            paced = [asyncio.run(_ask(port, _REQUESTS, 100 + seed, _RATE))[1] for seed in seeds]
    what = f"serve: new texts of {_WORDS} words, {_CONNECTIONS} connections kept alive"
    yield Figure("serve_rate", f"{what}, each asks again at once: decisions", "decisions/s", most, at_least=_RATE)
    medians, highs = np.transpose([np.percentile(1000 * latencies, [50, 99]) for latencies in paced]).tolist()
    yield Figure("serve_p50", f"{what}, {_RATE} requests a second: median latency", "ms", medians)
    yield Figure("serve_p99", f"{what}, {_RATE} requests a second: 99th percentile of latency", "ms", highs, at_most=20)


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


async def _ask(port: int, requests: int, seed: int, rate: float | None) -> tuple[float, np.ndarray]:
    """Sends requests; returns the seconds that all took, and the latency of each in seconds.

    Args:
      rate: requests a second, evenly spaced: a latency counts from when its request was due, also where no connection
        was free then. None: each connection asks again once it is answered.
    """
    rng = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(5000)])
    bodies = [
        json.dumps({"user": f"u{rng.integers(40):02d}", "query": " ".join(rng.choice(words, _WORDS))}).encode()
        for _ in range(requests)
    ]
    latencies: list[float] = []
    begun = time.perf_counter()
    due = enumerate(bodies) if rate is None else ((begun + row / rate, body) for row, body in enumerate(bodies))
    await asyncio.gather(*(_connection(port, due, rate is not None, latencies) for _ in range(_CONNECTIONS)))
    return time.perf_counter() - begun, np.array(latencies)


async def _connection(port: int, due: Iterator[tuple[float, bytes]], paced: bool, latencies: list[float]) -> None:
    """Sends requests over one connection, each after the answer to the one before; `due` is shared among them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for moment, body in due:
        begun = moment if paced else time.perf_counter()
        await asyncio.sleep(max(0, begun - time.perf_counter()))
        writer.write(_HEAD % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ValueError(f"serve: expected an answer with status 200, found {answer[:80]!r}")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - begun)
    writer.close()
