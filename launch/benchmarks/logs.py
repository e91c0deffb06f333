"""Conversion of a gateway's log to tables: 10 million lines with messages, 5 million distinct queries."""

import json
import pathlib
import resource
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from .figures import Figure, Setting

_LINES, _OF_BLOCK = 10_000_000, 100_000
_BLOCK = "@@@@"  # in a query: becomes the number of the block, so that it is asked there alone
_WORDS = [
    "how",
    "do",
    "I",
    "sort",
    "a",
    "list",
    "write",
    "short",
    "poem",
    "about",
    "the",
    "sea",
    "explain",
    "why",
    "sky",
    "is",
    "blue",
    "in",
    "plain",
    "words",
    "to",
    "my",
    "class",
]


def measure(setting: Setting) -> Iterator[Figure]:
    """Lines a second, and peak memory."""
    del setting  # one run takes a minute
    with tempfile.TemporaryDirectory() as folder:
        rate, megabytes = read_rate(pathlib.Path(folder), _LINES)
    what = f"reading a log of {_LINES:,} lines ({megabytes:,.0f} MB of JSON) into tables"
    yield Figure("log_lines", what, "lines/s", [rate], at_least=1e5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    yield Figure("log_memory", f"{what}: peak memory", "GB", [peak])


def read_rate(folder: pathlib.Path, lines: int) -> tuple[float, float]:
    """Lines a second, and the size of the log in MB."""
    from prouter_jax.data.logs.convert import Options, convert_log

    path = folder / "log.jsonl"
    write_log(path, lines)
    begun = time.perf_counter()
    counts = convert_log([path], folder / "tables", Options())
    seconds = time.perf_counter() - begun
    if counts.kept != lines:
        raise ValueError(f"{path}: expected {lines} rows kept, found {counts}")
    return lines / seconds, path.stat().st_size / 1e6


def write_log(path: pathlib.Path, lines: int) -> None:
    """Writes a synthetic log; half of the queries of a block occur in it alone, a tenth of the rows have a thumb."""
    block = "".join(map(_line, range(_OF_BLOCK), np.random.default_rng(0).integers(0, 2**31, (_OF_BLOCK, 8))))
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines // _OF_BLOCK):
            file.write(block.replace(_BLOCK, f"{number:04d}"))


def _line(number: int, drawn: np.ndarray) -> str:
    words = " ".join(_WORDS[(drawn[0] + place * drawn[1]) % len(_WORDS)] for place in range(12))
    query = f"{words} {_BLOCK} {number}" if number % 2 else f"{words} {drawn[2] % 5000}"
    llms = [f"llm-{(drawn[3] + place) % 8}" for place in range(4)]
    row = {
        "user": f"user-{drawn[4] % 20000:05d}",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": query}],
        "candidates": llms,
        "model": llms[drawn[5] % 4],
        "input_tokens": int(drawn[6] % 200),
        "output_tokens": int(drawn[7] % 900),
        "cost": round(int(drawn[7] % 900) * 1.5e-6, 8),
        "latency": round(0.2 + int(drawn[6] % 200) / 100, 3),
        "time": 1_767_000_000 + number,
        "propensity": 0.25,
    }
    if drawn[5] % 10 == 0:
        row["thumb"] = "up" if drawn[6] % 3 else "down"
    return json.dumps(row) + "\n"
