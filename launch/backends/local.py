"""Jobs as processes of this machine."""

import fcntl
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from launch.backends.job import Job

LOG = "log.txt"
_HELD = "job.lock"
_GRACE = 10.0  # seconds that the others have to end by themselves when one has ended badly


class LocalBackend:
    """This machine.

    Args:
      pin: whether each process of a job has a core of its own, where there are as many.
    """

    def __init__(self, pin: bool = False):
        self._pin = pin

    def start(self, job: Job) -> "LocalRun":
        """Starts a job, which adds to FOLDER/log.txt, or log.0.txt and so on for several processes.

        Raises:
          ValueError: if a job that was started by another process is still at work in the folder.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        # the job inherits the lock and holds it to its end, also if this process is killed
        with open(job.folder / _HELD, "ab") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{job.folder}: expected a folder that no job is at, found one that runs") from None
            commands = self._commands(job, _free_port())
            return LocalRun([_start(job, command, log, held.fileno()) for command, log in commands])

    def plan(self, job: Job) -> str:
        """One line for each process."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
        commands = self._commands(job, "PORT")
        return "\n".join(" ".join([*variables, shlex.join(command), ">>", str(log)]) for command, log in commands)

    def _commands(self, job: Job, port: int | str) -> list[tuple[list[str], pathlib.Path]]:
        """The command and the log of each process."""
        if job.processes == 1:
            return [(list(job.command), job.folder / LOG)]
        cores = sorted(os.sched_getaffinity(0))
        found = []
        for index in range(job.processes):
            pinned = ["taskset", "-c", str(cores[index])] if self._pin and job.processes <= len(cores) else []
            told = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={job.processes}", f"--process_id={index}"]
            found.append(([*pinned, *job.command, *told], job.folder / f"log.{index}.txt"))
        return found


class LocalRun:
    """Processes of this machine, with those that they started."""

    def __init__(self, processes: Sequence[subprocess.Popen]):
        self._processes = processes
        self._bad: tuple[int, float] | None = None  # the first bad exit code, and when it was seen

    def poll(self) -> int | None:
        """The exit code, None while it runs. When one ends badly, the others have some seconds to end as well."""
        codes = [process.poll() for process in self._processes]
        if self._bad is None and any(codes):
            self._bad = (next(code for code in codes if code), time.monotonic())
        if self._bad is not None and None in codes and time.monotonic() - self._bad[1] > _GRACE:
            self.kill()
            codes = [process.wait() for process in self._processes]
        if None in codes:
            return None
        return 0 if self._bad is None else self._bad[0]

    def stop(self) -> None:
        """Asks it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, number)


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
