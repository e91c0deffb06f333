"""Trials of a sweep as jobs of a back end; each runs the command train."""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

from prouter_jax.io.paths import is_remote, local_path
from prouter_jax.search import Values
from prouter_jax.sweep.space import flag_text
from prouter_jax.sweep.trials import Trial

from . import entry
from .backends.job import Job, ManyBackend, Running
from .backends.local import LOG


class TrialJobs:
    """Starts trials on a back end.

    Args:
      command: of a trial, from its fields and the workdir of its run.
      environment: variables of the jobs besides those of this process.
      shares: cores for each of the trials that run at a time, see `core_shares`; empty for no affinity.
      logs: parent of the folders for each trial's log and script; None for the workdirs of the runs.
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
            command = list(self._command(trial.fields, folder))
            if place < len(shares):
                command = ["taskset", "-c", shares[place], *command]
            logs = self._logs / trial.name if self._logs else folder
            jobs.append(Job(f"trial-{trial.name}", command, logs, 1, dict(self._environment)))
        runs = [TrialRun(running, job.folder) for running, job in zip(self._backend.start_all(jobs), jobs, strict=True)]
        self._taken.update(zip(shares, runs, strict=False))
        return runs


class TrialRun:
    """The running job of a trial."""

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

    def last_log_line(self) -> str:
        """The last line of its log that is not blank."""
        path = self._folder / LOG
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        # a terminal's progress lines end in a carriage return
        shown = [line.split("\r")[-1].strip() for line in lines]
        return next((line for line in reversed(shown) if line), "its log is empty")


def train_command(config: str, overrides: Values, values: Values, folder: pathlib.Path) -> list[str]:
    """The command of a trial.

    Args:
      overrides: fields that all trials change; `values` are those of this trial.
    """
    fields = [f"--config.{path}={flag_text(value)}" for path, value in {**overrides, **values}.items()]
    return [*entry.module_command("train"), f"--config={config}", f"--workdir={folder}", *fields]


def logs_folder(workdir: pathlib.Path, logs: str | None) -> pathlib.Path | None:
    """The folder of this machine for logs and scripts of a sweep whose workdir is in a bucket.

    Returns:
      None for a workdir of this machine, which holds them itself.

    Raises:
      ValueError: if --logs is missing, or is given for a workdir of this machine.
    """
    if is_remote(workdir) != (logs is not None):
        expected = "a local folder, as --workdir is" if logs is None else "none unless --workdir is"
        raise ValueError(f"--logs: expected {expected} in a bucket, found {logs or 'none'}")
    return None if logs is None else local_path(logs, "--logs")


def core_shares(concurrency: int) -> list[str]:
    """Cores for each of `concurrency` trials, as taskset names them; empty if there are fewer cores than trials.

    Without it the threads of concurrent trials wait for one another: two trials on two cores take twice as long.
    """
    if concurrency < 2 or shutil.which("taskset") is None:
        return []
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // concurrency
    if not each:
        return []
    return [",".join(map(str, cores[place * each : (place + 1) * each])) for place in range(concurrency)]


def compile_cache(folder: pathlib.Path) -> dict[str, str]:
    """Variables of JAX's compilation cache that trials share: in the sweep's folder unless one is set already."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    compiled = str((folder / "compiled").absolute())
    return {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
