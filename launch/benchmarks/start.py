"""The first minutes with the project, in CPU seconds of new processes: a run, its router, a few scored pairs.

"Cold" begins with an empty cache of compiled programs, "warm" with that of the same command. The text vectors of the
data, and what other libraries cache, are those of the user.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from ..config_flag import EXPERIMENTS
from ..entry import module_command
from .figures import Figure, Setting

_MOST_RUNS = 3
_LOAD = """
import sys, time
from prouter_jax.serving.router import Router
begun = time.process_time()
Router.load(sys.argv[1])
print(time.process_time() - begun)
"""


def measure_start(setting: Setting) -> Iterator[Figure]:
    """Time of a first result, and of the same command once it was run before."""
    runs = range(min(setting.runs, _MOST_RUNS))
    cold, warm, scored, choices, loaded, nine = [], [], [], [], [], []
    for _ in runs:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            cold.append(_train("embedded", folder, "first"))
            warm.append(_train("embedded", folder, "second"))
            _score(folder)
            scored.append(_score(folder))
    for _ in runs:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            data = f"--config.data.path={setting.data.absolute()}/alpaca_route"
            choices.append(_train("alpaca_choices", folder, "choices", data))
            loaded.append(_load(folder / "choices", folder))
            begun = time.perf_counter()
            _train("alpaca_route", folder / "nine", "run", data)
            nine.append(time.perf_counter() - begun)
    yield Figure("start_cold", "embedded benchmark, from start to report, cold", "CPU s", cold, at_most=12)
    yield Figure("start_warm", "the same, warm", "CPU s", warm, at_most=6)
    yield Figure("start_score", "its router scores 7 pairs of a file, warm", "CPU s", scored, at_most=3)
    yield Figure("start_choices", "choices of 1,000 users, from start to report, cold", "CPU s", choices, at_most=60)
    yield Figure("start_load", "Router.load of these 1,000 users", "CPU s", loaded, at_most=2)
    yield Figure("start", "9 users, one seed, from start to report, compilation included", "s", nine)


def _train(experiment: str, folder: pathlib.Path, name: str, *options: str) -> float:
    return _cpu_seconds(
        [*module_command("train"), f"--config={experiment}", f"--workdir={folder / name}", *options], folder
    )


def _score(folder: pathlib.Path) -> float:
    paths = [f"--input={EXPERIMENTS / 'pairs.jsonl'}", f"--output={folder / 'scored.jsonl'}"]
    return _cpu_seconds([*module_command("score"), f"--workdir={folder / 'first'}", *paths], folder)


def _load(workdir: pathlib.Path, cache: pathlib.Path) -> float:
    """Of the call alone; the process has imported what it needs and compiles what it needs."""
    command = [sys.executable, "-c", _LOAD, str(workdir)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=_environment(cache)).stdout)


def _cpu_seconds(command: list[str], cache: pathlib.Path) -> float:
    """User and system time of a command and of the processes that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=_environment(cache))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(cache: pathlib.Path) -> dict[str, str]:
    """With an own cache of compiled programs."""
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(cache / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return os.environ | compiled
