"""The back end of Slurm: a task on each node, connected by jax.distributed; small jobs as a job array.

The scripts are our own: submitit pickles a function for the job, and needs Slurm's accounting for its exit code.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence

from .job import Job, shown
from .local import LOG

_SCRIPT, _ARRAY, _CODE = "job.sh", "array.sh", "exit_code"
_OF_ONE = ("--ntasks-per-node=1", "--requeue", "--open-mode=append")
_EVERY = 2.0  # seconds between two squeue calls, which load the whole cluster's controller
LOST = 128 + 9  # for a job that left the queue without an exit code: as if killed


class SlurmBackend:
    """A Slurm cluster whose nodes share the job's folder.

    Args:
      options: of sbatch, such as --partition=tpu or --time=24:00:00.
    """

    def __init__(self, options: tuple[str, ...] = ()):
        self._options = options

    def start(self, job: Job) -> "SlurmRun":
        """Submits a job; its tasks append to FOLDER/log.N.txt, a single one to log.txt."""
        return SlurmRun(_submit(self._write(job), job), job.folder)

    def start_all(self, jobs: Sequence[Job]) -> list["SlurmRun"]:
        """Submits jobs of one process each and the same environment, as one job array."""
        if len(jobs) < 2:
            return [self.start(job) for job in jobs]
        scripts = [str(self._write(job).absolute()) for job in jobs]
        options = [*_OF_ONE, f"--array=0-{len(jobs) - 1}", f"--output={jobs[0].folder.absolute()}/array.%a.txt"]
        lines = [
            *_head([f"--job-name={jobs[0].name}", *options, *self._options]),
            f"scripts=({shlex.join(scripts)})",
            'exec bash "${scripts[SLURM_ARRAY_TASK_ID]}"',
        ]
        array = jobs[0].folder / _ARRAY
        array.write_text("\n".join(lines) + "\n")
        number = _submit(array, jobs[0])
        return [SlurmRun(f"{number}_{task}", job.folder) for task, job in enumerate(jobs)]

    def plan(self, job: Job) -> str:
        """The script, and the command that submits it."""
        submit = " ".join([*shown(job.environment), "sbatch", "--parsable", str(job.folder / _SCRIPT)])
        return f"{submit}\n\n{job.folder / _SCRIPT}:\n{self._script(job)}"

    def _write(self, job: Job) -> pathlib.Path:
        """Writes the job's script and removes the exit code of an earlier run."""
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / _CODE).unlink(missing_ok=True)
        script = job.folder / _SCRIPT
        script.write_text(self._script(job))
        return script

    def _script(self, job: Job) -> str:
        folder = job.folder.absolute()
        command = [*job.command, "--distributed"] if job.processes > 1 else list(job.command)
        log = "log.%t.txt" if job.processes > 1 else LOG
        logs = f"--output={folder}/{log} --open-mode=append"
        code = shlex.quote(str(folder / _CODE))
        options = [
            *(f"--job-name={job.name}", f"--nodes={job.processes}", f"--ntasks={job.processes}"),
            *(*_OF_ONE, f"--output={folder}/batch.txt", *self._options),
        ]
        lines = [
            *_head(options),
            f"cd {shlex.quote(os.getcwd())}",
            f"rm -f {code}",
            "trap : TERM",  # survive SIGTERM, to write the exit code after the tasks have saved
            # srun signals Python directly: a shell in between would swallow SIGTERM, and nothing would be saved
            f"srun --kill-on-bad-exit=1 {logs} {shlex.join(command)}",
            f"echo $? > {code}.tmp && mv {code}.tmp {code}",
        ]
        return "\n".join(lines) + "\n"


def _head(options: Sequence[str]) -> list[str]:
    return ["#!/bin/bash", *(f"#SBATCH {option}" for option in options)]


def _submit(script: pathlib.Path, job: Job) -> str:
    """Submits a script with the environment of a job; returns Slurm's job id."""
    if shutil.which("sbatch") is None:
        raise ValueError("--backend=slurm: expected Slurm's sbatch on this machine, found none")
    command = ["sbatch", "--parsable", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **job.environment})
    if done.returncode:
        raise ValueError(f"sbatch: expected it to take the job, found: {' '.join(done.stderr.split())}")
    return done.stdout.strip().split(";")[0]


class SlurmRun:
    """A job in Slurm's queue."""

    def __init__(self, number: str, folder: pathlib.Path):
        self.number, self._folder = number, folder
        self._code: int | None = None
        self._next = 0.0  # when Slurm is asked again

    def poll(self) -> int | None:
        """The exit code, None while it waits or runs; LOST if it left the queue without an exit code.

        A job that Slurm requeues stays in the queue: its exit code is that of its last run.
        """
        if self._code is None and time.monotonic() >= self._next:
            self._code = self._ask()
            self._next = time.monotonic() + _EVERY
        return self._code

    def _ask(self) -> int | None:
        queued = subprocess.run(["squeue", "-h", "-j", self.number, "-o", "%T"], capture_output=True, text=True)
        unknown = "Invalid job id" in queued.stderr
        if queued.stdout.strip() or (queued.returncode and not unknown):
            return None
        path = self._folder / _CODE
        return int(path.read_text()) if path.exists() else LOST

    def stop(self) -> None:
        """Cancels it: its processes save on SIGTERM."""
        subprocess.run(["scancel", self.number], capture_output=True)
