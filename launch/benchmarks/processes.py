"""Two processes, a core each, against one process on one core: the same training, the same batches."""

import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator

from launch.backends.job import Job
from launch.backends.local import LocalBackend, LocalRun
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
        running = LocalBackend(pin=True).start(_job(pathlib.Path(folder), number))
        try:
            lines = _wait_for_lines(pathlib.Path(folder) / "run" / "metrics.jsonl", _STEPS // _EVERY, running)
        finally:  # the report that would follow is not what is timed
            running.stop()
            while running.poll() is None:
                time.sleep(0.1)
    from experiments import million

    users = million.get_config().train.users_per_step
    return [json.loads(line)["steps_per_second"] * users for line in lines[1:]]


def _job(folder: pathlib.Path, number: int) -> Job:
    command = [sys.executable, "-m", "launch.train", "--config=experiments/million.py", f"--workdir={folder}/run"]
    command += [f"--config.mesh.data={number}", f"--config.train.num_train_steps={_STEPS}"]
    command += [f"--config.train.eval_every_steps={_EVERY}", "--config.train.steps_per_round=4"]
    alone = ["taskset", "-c", "0"] if number == 1 else []  # a lone process is not pinned by the back end
    return Job("bench", [*alone, *command], folder, number, {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""})


def _wait_for_lines(path: pathlib.Path, number: int, running: LocalRun) -> list[str]:
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= number:
            return lines
        code = running.poll()
        if code is not None:
            raise ValueError(f"the processes of a benchmark: expected them to train, found exit code {code}")
        time.sleep(0.5)
