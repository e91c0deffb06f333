"""Two processes on a core each against one process on one core; same training, same batches."""

import pathlib
import tempfile
import time
from collections.abc import Iterator

from ..backends.job import Job
from ..backends.local import LocalBackend, LocalRun
from ..config_flag import load_experiment
from ..entry import module_command
from .figures import Figure, Setting

_STEPS = 13  # the first one is compiled and does not count; the others are as many as a round of the experiment


def measure_processes(setting: Setting) -> Iterator[Figure]:
    """Users a second of both, and their ratio."""
    del setting  # each run takes minutes
    alone, both = (_users_a_second(number) for number in (1, 2))
    yield Figure("one_process", "a million users: training steps of 1 process pinned to a core", "users/s", [alone])
    yield Figure("two_processes", "a million users: those of 2 processes pinned to a core each", "users/s", [both])
    yield Figure("processes_ratio", "the second over the first", "times", [both / alone], at_least=1.7)


def _users_a_second(number: int) -> float:
    """Users a second by the run's own time of a step, without evaluation."""
    from prouter_jax.aot.speed import SPEED
    from prouter_jax.io.files import read_sealed

    with tempfile.TemporaryDirectory() as folder:
        running = LocalBackend(pin=True).start(_job(pathlib.Path(folder), number))
        speed_file = pathlib.Path(folder) / "run" / SPEED
        try:
            _wait_for(speed_file, running)
        finally:  # the report that would follow is not what is timed
            running.end()
        return load_experiment("million").train.users_per_step / read_sealed(speed_file)["seconds"]


def _job(folder: pathlib.Path, number: int) -> Job:
    command = [*module_command("train"), "--config=million", f"--workdir={folder}/run"]
    command += [f"--config.mesh.data={number}", f"--config.train.num_train_steps={_STEPS}"]
    command += [f"--config.train.eval_every_steps={_STEPS}"]
    alone = ["taskset", "-c", "0"] if number == 1 else []  # a lone process is not pinned by the back end
    return Job("bench", [*alone, *command], folder, number, {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""})


def _wait_for(path: pathlib.Path, running: LocalRun) -> None:
    while not path.exists():
        code = running.poll()
        if code is not None:
            raise ValueError(f"the processes of a benchmark: expected them to train, found exit code {code}")
        time.sleep(0.5)
