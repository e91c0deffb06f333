"""Whole commands in processes of their own: the first minutes with the project, two processes, collected answers.

"Cold" begins with an empty cache of compiled programs, "warm" with that of the same command. The text vectors of the
data, and what other libraries cache, are those of the user.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from ..backends.job import Job
from ..backends.local import LocalBackend
from ..config_flag import EXPERIMENTS, load_experiment
from ..entry import module_command
from .figures import Figure, Setting
from .stub_llms import run_stub

_MOST_RUNS = 3
_LOAD = """
import sys, time
from prouter_jax.serving.router import Router
begun = time.process_time()
Router.load(sys.argv[1])
print(time.process_time() - begun)
"""

_STEPS = 13  # the first one is compiled and does not count; the others are as many as a round of the experiment

_ANSWERS, _LATENCY, _CONCURRENCY = 10_000, 0.25, 64
_MOST_COLLECTIONS = 3


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


def measure_processes(setting: Setting) -> Iterator[Figure]:
    """Users a second of both, and their ratio."""
    del setting  # each run takes minutes
    alone, both = (_users_a_second(number) for number in (1, 2))
    yield Figure("one_process", "a million users: training steps of 1 process pinned to a core", "users/s", [alone])
    yield Figure("two_processes", "a million users: those of 2 processes pinned to a core each", "users/s", [both])
    yield Figure("processes_ratio", "the second over the first", "times", [both / alone], at_least=1.7)


def measure_collect(setting: Setting) -> Iterator[Figure]:
    """Seconds of `prouter collect` from start to tables, and their ratio to the server's own time."""
    seconds = [_collect() for _ in range(min(setting.runs, _MOST_COLLECTIONS))]
    name = f"{_ANSWERS:,} answers of {_LATENCY * 1000:g} ms, {_CONCURRENCY} at a time, from start to tables"
    yield Figure("collect", name, "s", seconds)
    ideal = _ANSWERS * _LATENCY / _CONCURRENCY
    ratios = [run / ideal for run in seconds]
    yield Figure("collect_ratio", f"the same over the ideal {ideal:.0f} s", "times", ratios, at_most=1.3)


def _train(experiment: str, folder: pathlib.Path, name: str, *options: str) -> float:
    """From start to report: without the training on all decisions that follows."""
    fields = [f"--workdir={folder / name}", "--config.train.refit=false", *options]
    return _cpu_seconds([*module_command("train"), f"--config={experiment}", *fields], folder)


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


def _users_a_second(number: int) -> float:
    """Users a second by the run's own time of a step, without evaluation."""
    from prouter_jax.aot.speed import SPEED
    from prouter_jax.io.files import read_sealed

    with tempfile.TemporaryDirectory() as folder:
        running = LocalBackend(pin=True).start(_job(pathlib.Path(folder), number))
        speed_file = pathlib.Path(folder) / "run" / SPEED
        try:
            while not speed_file.exists():
                code = running.poll()
                if code is not None:
                    raise ValueError(f"the processes of a benchmark: expected them to train, found exit code {code}")
                time.sleep(0.5)
        finally:  # the report that would follow is not what is timed
            running.end()
        return load_experiment("million").train.users_per_step / read_sealed(speed_file)["seconds"]


def _job(folder: pathlib.Path, number: int) -> Job:
    command = [*module_command("train"), "--config=million", f"--workdir={folder}/run"]
    command += [f"--config.mesh.data={number}", f"--config.train.num_train_steps={_STEPS}"]
    command += [f"--config.train.eval_every_steps={_STEPS}"]
    alone = ["taskset", "-c", "0"] if number == 1 else []  # a lone process is not pinned by the back end
    return Job("bench", [*alone, *command], folder, number, {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""})


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
