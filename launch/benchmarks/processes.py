"""Two processes, a core each, against one process on one core: the same training, the same batches."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from launch.benchmarks.figures import Figure, Setting

_STEPS, _EVERY = 12, 4  # the first evaluation's time has the compilation in it


def measure(setting: Setting) -> Iterator[Figure]:
    """Users a second of each, in turn, and their ratio."""
    del setting  # each run takes minutes
    alone, both = (_users_a_second(number) for number in (1, 2))
    yield Figure("one_process", "a million users: 1 process pinned to a core", "users/s", alone)
    yield Figure("two_processes", "a million users: 2 processes pinned to a core each", "users/s", both)
    ratio = sum(both) / len(both) / (sum(alone) / len(alone))
    yield Figure("processes_ratio", "the second over the first", "times", [ratio], at_least=1.7)


def _users_a_second(number: int) -> list[float]:
    """What the run says of the steps after the first evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        processes = [_start(pathlib.Path(folder), number, index, port) for index in range(number)]
        try:
            lines = _wait_for_lines(pathlib.Path(folder) / "metrics.jsonl", _STEPS // _EVERY, processes)
        finally:  # the report that would follow is not what is timed
            for process in processes:
                process.kill()
                process.wait()
    from experiments import million

    users = million.get_config().train.users_per_step
    return [json.loads(line)["steps_per_second"] * users for line in lines[1:]]


def _wait_for_lines(path: pathlib.Path, number: int, processes: list[subprocess.Popen]) -> list[str]:
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= number:
            return lines
        if any(process.poll() for process in processes):
            raise ValueError(f"{len(processes)} processes: expected them to train, found that one ended")
        time.sleep(0.5)


def _start(workdir: pathlib.Path, number: int, index: int, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "launch.train", "--config=experiments/million.py", f"--workdir={workdir}"]
    command += [f"--config.mesh.data={number}", f"--config.train.num_train_steps={_STEPS}"]
    command += [f"--config.train.eval_every_steps={_EVERY}", "--config.train.steps_per_round=4"]
    if number > 1:
        command += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={number}", f"--process_id={index}"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    return subprocess.Popen(["taskset", "-c", str(index), *command], env=environment)
