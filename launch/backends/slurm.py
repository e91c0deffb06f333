"""Jobs of Slurm: one task on each node, found by each other through jax.distributed.

The script is written here: submitit would pickle a function for the job to unpickle, and needs Slurm's accounting to
know how it ended.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import time

from launch.backends.job import Job, shown
from launch.backends.local import LOG

_SCRIPT, _CODE = "job.sh", "exit_code"
_EVERY = 2.0  # seconds between questions to Slurm, which all users of a cluster ask
LOST = 128 + 9  # for a job that left the queue without a word: as if it was killed


class SlurmBackend:
    """A Slurm cluster whose nodes see the job's folder.

    Args:
      options: of sbatch, such as --partition=tpu or --time=24:00:00.
    """

    def __init__(self, options: tuple[str, ...] = ()):
        self._options = options

    def start(self, job: Job) -> "SlurmRun":
        """Submits a job; its tasks add to FOLDER/log.N.txt, a lone one to log.txt."""
        if shutil.which("sbatch") is None:
            raise ValueError("--backend=slurm: expected Slurm's sbatch on this machine, found none")
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / _CODE).unlink(missing_ok=True)
        (job.folder / _SCRIPT).write_text(self._script(job))
        command = ["sbatch", "--parsable", str(job.folder / _SCRIPT)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **job.environment})
        if done.returncode:
            raise ValueError(f"sbatch: expected it to take the job, found: {' '.join(done.stderr.split())}")
        return SlurmRun(done.stdout.strip().split(";")[0], job.folder)

    def plan(self, job: Job) -> str:
        """The script, and how it is submitted."""
        submit = " ".join([*shown(job.environment), "sbatch", "--parsable", str(job.folder / _SCRIPT)])
        return f"{submit}\n\n{job.folder / _SCRIPT}:\n{self._script(job)}"

    def _script(self, job: Job) -> str:
        folder = job.folder.absolute()
        command = [*job.command, "--distributed"] if job.processes > 1 else list(job.command)
        log = "log.%t.txt" if job.processes > 1 else LOG
        logs = f"--output={folder}/{log} --open-mode=append"
        code = shlex.quote(str(folder / _CODE))
        options = [
            *(f"--job-name={job.name}", f"--nodes={job.processes}", f"--ntasks={job.processes}"),
            *("--ntasks-per-node=1", "--requeue", "--open-mode=append", f"--output={folder}/batch.txt"),
            *self._options,
        ]
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in options),
            f"cd {shlex.quote(os.getcwd())}",
            f"rm -f {code}",
            "trap : TERM",  # to write the exit code when the tasks have saved
            # srun hands signals to python itself: a shell in between would lose the SIGTERM that asks for a save
            f"srun --kill-on-bad-exit=1 {logs} {shlex.join(command)}",
            f"echo $? > {code}.tmp && mv {code}.tmp {code}",
        ]
        return "\n".join(lines) + "\n"


class SlurmRun:
    """A job in Slurm's queue."""

    def __init__(self, number: str, folder: pathlib.Path):
        self.number, self._folder = number, folder
        self._code: int | None = None
        self._next = 0.0  # when Slurm is asked again

    def poll(self) -> int | None:
        """The exit code, None while it waits or runs; LOST for one that left the queue without a word.

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
        """Asks it to end: its processes save at SIGTERM."""
        subprocess.run(["scancel", self.number], capture_output=True)
