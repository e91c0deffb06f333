"""The back end of this machine: jobs are its processes."""

import contextlib
import math
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from prouter_jax.io.locks import try_lock

from .job import BAD_INPUT, PREEMPTED, Job, shown

LOG = "log.txt"
_HELD = "job.lock"
# seconds until the other processes are killed after one has failed, or was preempted and saved with them
_GRACE, _SAVE = 10.0, 60.0


class LocalBackend:
    """This machine.

    Args:
      pin: whether to bind each process of a job to a core, if there are enough cores.
    """

    def __init__(self, pin: bool = False):
        self._pin = pin

    def start(self, job: Job) -> "LocalRun":
        """Starts a job, which appends to FOLDER/log.txt, or log.0.txt and so on for several processes.

        Raises:
          ValueError: if a job of another process is running in the folder.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        # the job inherits the lock and holds it until it ends, even if this process is killed
        with open(job.folder / _HELD, "ab") as held:
            if not try_lock(held.fileno()):
                raise ValueError(f"{job.folder}: expected a folder without a running job, found one")
            commands = self._commands(job, _free_port())
            return LocalRun([_start(job, command, log, held.fileno()) for command, log in commands])

    def start_all(self, jobs: Sequence[Job]) -> list["LocalRun"]:
        """Starts the jobs concurrently; if one cannot be started, ends those before it."""
        with contextlib.ExitStack() as begun:
            running = []
            for job in jobs:
                running.append(self.start(job))
                begun.callback(running[-1].end)
            begun.pop_all()
        return running

    def plan(self, job: Job) -> str:
        """One line for each process."""
        commands = self._commands(job, "PORT")
        return "\n".join(
            " ".join([*shown(job.environment), shlex.join(command), ">>", str(log)]) for command, log in commands
        )

    def logs(self, job: Job) -> list[pathlib.Path]:
        """The log of each process."""
        return [log for _, log in self._commands(job, "PORT")]

    def _commands(self, job: Job, port: int | str) -> list[tuple[list[str], pathlib.Path]]:
        """The command and the log of each process."""
        if job.processes == 1:
            return [(list(job.command), job.folder / LOG)]
        cores = sorted(os.sched_getaffinity(0))
        found = []
        for index in range(job.processes):
            pinned = ["taskset", "-c", str(cores[index])] if self._pin and job.processes <= len(cores) else []
            flags = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={job.processes}", f"--process_id={index}"]
            found.append(([*pinned, *job.command, *flags], job.folder / f"log.{index}.txt"))
        return found


class LocalRun:
    """The processes of a job, and their child processes.

    Attributes:
      failed: the process that ended badly first, None for none.
    """

    def __init__(self, processes: Sequence[subprocess.Popen]):
        self._processes = processes
        self.failed: int | None = None
        self._bad: int | None = None  # the exit code of the first that ended badly
        self._until = math.inf  # when the others are killed

    def poll(self) -> int | None:
        """The exit code, None while it runs. When one process fails, the others get SIGTERM, then SIGKILL."""
        codes = [_reap(process) for process in self._processes]
        if self._bad is None and any(codes):
            self.failed, self._bad = max(
                ((index, code) for index, code in enumerate(codes) if code), key=lambda pair: _severity(pair[1])
            )
            self._until = time.monotonic() + (_SAVE if self._bad == PREEMPTED else _GRACE)
            if self._bad != PREEMPTED:
                self.stop()
        if None in codes and time.monotonic() > self._until:
            self._send(signal.SIGKILL)
        if None in codes:
            return None
        return self._bad or 0

    def stop(self) -> None:
        """Asks it to end."""
        self._send(signal.SIGTERM)

    def end(self) -> None:
        """Ends it with SIGTERM, and with SIGKILL after some seconds."""
        self.stop()
        self._until = time.monotonic() + _GRACE
        while self.poll() is None:
            time.sleep(0.05)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.returncode is None:
                os.killpg(process.pid, number)


def _reap(process: subprocess.Popen) -> int | None:
    """The exit code; kills child processes that outlive the process, which would hold the lock."""
    known = process.returncode is not None
    code = process.poll()
    if code is not None and not known:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return code


def _severity(code: int) -> int:
    """Rank of an exit code among those of one job: a process that lost its peers may report bad input."""
    return {BAD_INPUT: 0, PREEMPTED: 1}.get(code, 2)


def _start(job: Job, command: Sequence[str], log: pathlib.Path, held: int) -> subprocess.Popen:
    with open(log, "ab") as file:
        # a session of its own: Ctrl-C is for this process, which then asks the job to end
        return subprocess.Popen(
            command,
            env={**os.environ, **job.environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=[held],
        )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
