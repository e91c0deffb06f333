"""Reading a CSV of PersonaRoute-Bench's columns, with its embeddings as text on every row: memory and time."""

import csv
import pathlib
import resource
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from .figures import Figure, Setting

_BYTES = 10**9
_USERS, _LLMS, _TASKS, _WIDTH = 9, 10, 4, 384
_WORDS = 250  # of a response
_MOST_RUNS = 3


def measure(setting: Setting) -> Iterator[Figure]:
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
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
