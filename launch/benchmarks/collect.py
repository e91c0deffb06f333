"""Collection of answers from a local server with a latency of 0.25 s."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator

from ..entry import module_command
from .figures import Figure, Setting
from .stub_llms import run_stub

_ANSWERS, _LATENCY, _CONCURRENCY = 10_000, 0.25, 64
_MOST_RUNS = 3


def measure_collect(setting: Setting) -> Iterator[Figure]:
    """Seconds of `prouter collect` from start to tables, and their ratio to the server's own time."""
    seconds = [_collect() for _ in range(min(setting.runs, _MOST_RUNS))]
    name = f"{_ANSWERS:,} answers of {_LATENCY * 1000:g} ms, {_CONCURRENCY} at a time, from start to tables"
    yield Figure("collect", name, "s", seconds)
    ideal = _ANSWERS * _LATENCY / _CONCURRENCY
    ratios = [run / ideal for run in seconds]
    yield Figure("collect_ratio", f"the same over the ideal {ideal:.0f} s", "times", ratios, at_most=1.3)


def _collect() -> float:
    with tempfile.TemporaryDirectory() as name, run_stub(_LATENCY) as stub:
        folder = pathlib.Path(name)
        queries = (json.dumps({"query": f"What is to be said about {row}?"}) for row in range(_ANSWERS))
        (folder / "queries.jsonl").write_text("\n".join(queries))
        llm = {"model": "m", "base_url": stub.url, "input_price": 0.1, "output_price": 0.4}
        (folder / "llms.json").write_text(json.dumps({"m": llm}))
        command = [*module_command("collect"), f"--queries={name}/queries.jsonl", f"--llms={name}/llms.json"]
        command += [f"--out={name}/out", f"--concurrency={_CONCURRENCY}"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"NO_PROXY": "127.0.0.1"})
        seconds = time.perf_counter() - begun
        counts = stub.counts()
        if len(counts) != _ANSWERS or set(counts.values()) != {(1, 1)}:
            raise ValueError(f"collect: expected {_ANSWERS:,} queries asked once each, found {len(counts):,}")
        return seconds
