"""Reading of large files: a CSV of PersonaRoute-Bench, and a log of a gateway."""

import csv
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from .figures import Figure, Setting, peak_memory

_BYTES = 10**9
_USERS, _LLMS, _TASKS, _WIDTH = 9, 10, 4, 384
_WORDS = 250  # of a response
_MOST_RUNS = 3

_LINES, _OF_BLOCK = 10_000_000, 100_000
_BLOCK = "@@@@"  # in a query: becomes the number of the block, so that it is asked there alone
_LOG_WORDS = (
    *("how", "do", "I", "sort", "a", "list", "write", "short", "poem", "about", "the", "sea"),
    *("explain", "why", "sky", "is", "blue", "in", "plain", "words", "to", "my", "class"),
)


def measure_reading(setting: Setting) -> Iterator[Figure]:
    """Time and memory for a synthetic gigabyte; the process does nothing else, so its peak memory is the reader's."""
    from prouter_jax.data.public.registry import read_public

    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "router_user_train_data_v1.csv"
        rows = write_csv(path, _BYTES)
        for _ in range(min(setting.runs, _MOST_RUNS)):
            begun = time.perf_counter()
            read = read_public("personaroute", path)
            seconds.append(time.perf_counter() - begun)
            if read.records != rows:
                raise ValueError(f"{path}: expected {rows} records, found {read.records}")
            del read
    what = f"a PersonaRoute-Bench CSV of {_BYTES / 1e9:g} GB, {rows:,} rows"
    yield Figure("csv_time", f"reading {what}", "s", seconds)
    peak = peak_memory() * 1e3
    yield Figure("csv_memory", f"{what}: peak memory of reading", "MB", [peak], at_most=500.0)


def write_csv(path: pathlib.Path, size: int) -> int:
    """Writes synthetic rows of whole queries until the file has `size` bytes; returns the number of rows."""
    rng, rows = np.random.default_rng(0), 0
    tasks = [_embedding(rng) for _ in range(_TASKS)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for query in range(size):
            for row in _query_rows(query, tasks, rng):
                writer.writerow(row)
                rows += 1
            if file.tell() >= size:
                break
    return rows


_COLUMNS = (
    *("user_id", "performance_preference", "task_id", "query", "query_embedding", "effect", "cost", "ground_truth"),
    *("metric", "llm", "task_description", "task_description_embedding", "response", "reward", "best_llm"),
)


def measure_logs(setting: Setting) -> Iterator[Figure]:
    """Lines a second, and peak memory."""
    del setting  # one run takes a minute
    with tempfile.TemporaryDirectory() as folder:
        rate, megabytes = read_rate(pathlib.Path(folder), _LINES)
    what = f"reading a log of {_LINES:,} lines ({megabytes:,.0f} MB of JSON) into tables"
    yield Figure("log_lines", what, "lines/s", [rate], at_least=1e5)
    peak = peak_memory()
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


def _query_rows(query: int, tasks: list[str], rng: np.random.Generator) -> Iterator[tuple]:
    """A row for each user and LLM."""
    task = query % _TASKS
    text, embedding, effects = f"Question {query} on {task}?", _embedding(rng), rng.random(_LLMS).round(4)
    responses = [" ".join(rng.integers(10**6, size=_WORDS).astype(str)) for _ in range(_LLMS)]
    for user in range(_USERS):
        preference = round(0.2 + 0.1 * user, 1)
        best = int(np.argmax(preference * effects - (1 - preference) * np.arange(_LLMS) / _LLMS))
        for llm in range(_LLMS):
            yield (
                *(f"user{user}", preference, f"task{task}", text, embedding, effects[llm], llm / _LLMS, "so", "f1"),
                *(f"llm{llm}", f"Task {task}.", tasks[task], responses[llm], effects[llm], f"llm{best}"),
            )


def _embedding(rng: np.random.Generator) -> str:
    """A vector as NumPy prints it, over many lines."""
    return np.array2string(rng.normal(size=(1, _WIDTH)), threshold=_WIDTH + 1)


def _line(number: int, drawn: np.ndarray) -> str:
    words = " ".join(_LOG_WORDS[(drawn[0] + place * drawn[1]) % len(_LOG_WORDS)] for place in range(12))
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
