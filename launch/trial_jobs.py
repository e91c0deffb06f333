"""The trials of a sweep as jobs of a back end: each is a run of launch.train."""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

from prouter_jax.io.paths import is_remote, local_path
from prouter_jax.sweep.fields import Values, flag_text
from prouter_jax.sweep.trials import Trial

from . import entry
from .backends.job import Job, ManyBackend, Running
from .backends.local import LOG


class TrialJobs:
    """Starts trials.

    Args:
      command: of a trial, from its values and the workdir of its run.
      environment: what jobs have besides this process's environment.
      shares: cores for each of the trials that run at a time, see `core_shares`; none leaves them to the machine.
      logs: where each trial has a folder for its log and script, if not the workdir of its run.
    """

    def __init__(
        self,
        backend: ManyBackend,
        command: Callable[[Values, pathlib.Path], Sequence[str]],
        environment: Mapping[str, str],
        shares: Sequence[str],
        logs: pathlib.Path | None = None,
    ):
        self._backend, self._command, self._environment = backend, command, environment
        self._shares, self._logs = list(shares), logs
        self._taken: dict[str, TrialRun] = {}

    def __call__(self, trials: Sequence[tuple[Trial, pathlib.Path]]) -> list["TrialRun"]:
        shares = [one for one in self._shares if one not in self._taken or self._taken[one].ended]
        jobs = []
        for place, (trial, folder) in enumerate(trials):
            command = list(self._command(trial.values, folder))
            if place < len(shares):
                command = ["taskset", "-c", shares[place], *command]
            logs = self._logs / trial.name if self._logs else folder
            jobs.append(Job(f"trial-{trial.name}", command, logs, 1, dict(self._environment)))
        runs = [TrialRun(running, job.folder) for running, job in zip(self._backend.start_all(jobs), jobs, strict=True)]
        self._taken.update(zip(shares, runs, strict=False))
        return runs


class TrialRun:
    """A trial's job, under way."""

    def __init__(self, job: Running, folder: pathlib.Path):
        self._job, self._folder = job, folder
        self.ended = False

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        code = self._job.poll()
        self.ended = code is not None
        return code

    def stop(self) -> None:
        """Asks it to end."""
        self._job.stop()

    def last_words(self) -> str:
        """The last line of its log."""
        path = self._folder / LOG
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        # progress on a terminal ends in a carriage return
        words = [line.split("\r")[-1].strip() for line in lines]
        return next((line for line in reversed(words) if line), "its log is empty")


def train_command(config: str, overrides: Values, values: Values, folder: pathlib.Path) -> list[str]:
    """What a trial runs.

    Args:
      config: the experiment file.
      overrides: fields of it that all trials have; `values` are the trial's own.
    """
    fields = [f"--config.{path}={flag_text(value)}" for path, value in {**overrides, **values}.items()]
    return [*entry.module_command("train"), f"--config={config}", f"--workdir={folder}", *fields]


def logs_folder(workdir: pathlib.Path, logs: str | None) -> pathlib.Path | None:
    """The folder of this machine for logs, scripts and locks, which a sweep with its workdir in a bucket needs.

    Returns:
      None for a workdir of this machine, which has them itself.

    Raises:
      ValueError: if it is missing, or there is one too many: who looked elsewhere would not see that a sweep runs.
    """
    if is_remote(workdir) != (logs is not None):
        expected = "a folder of this machine, as --workdir is" if logs is None else "none unless --workdir is"
        raise ValueError(f"--logs: expected {expected} in a bucket, found {logs or 'none'}")
    return None if logs is None else local_path(logs, "--logs")


def core_shares(concurrency: int) -> list[str]:
    """Cores for each of so many trials at a time, as taskset names them; nothing where there is nothing to share.

    Threads of trials that run on all cores wait for one another: two at a time on two cores take twice as long.
    """
    if concurrency < 2 or shutil.which("taskset") is None:
        return []
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // concurrency
    if not each:
        return []
    return [",".join(map(str, cores[place * each : (place + 1) * each])) for place in range(concurrency)]


def compile_cache(folder: pathlib.Path) -> dict[str, str]:
    """Variables that let trials share what they compile, in a folder of the sweep unless there is a cache already."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    compiled = str((folder / "compiled").absolute())
    return {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
