"""Commands in children of a process that has imported everything already: a run takes a tenth of a fresh one's time.

The children start from the same state as a fresh process: nothing is computed before the fork, for JAX's threads do not
outlive one.
"""

import atexit
import dataclasses
import gc
import importlib
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from faults.system_calls import Operation, answer, ask_before_file_operations

TESTS = pathlib.Path(__file__).parents[1]
_IMPORTED = (
    *("prouter_jax.experiment", "prouter_jax.serving.updates", "prouter_jax.serving.batch.sharded", "openai"),
    *("prouter_jax.llm.collect", "prouter_jax.llm.grading", "prouter_jax.data.logs.convert", "orbax.checkpoint"),
    *("prouter_jax.data.public.registry", "absl.app", "tqdm", "prouter_jax.report.text", "matplotlib.figure"),
    "serve_cases",
)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
      code: its exit code, negative for a signal.
      said: what it wrote to stdout and stderr.
    """

    code: int
    said: str


class Warm:
    """A process that forks commands, one at a time; a context manager.

    Args:
      home: a folder for what the commands say and for their caches.
    """

    def __init__(self, home: pathlib.Path):
        self._said = home / f"said{id(self)}"
        self._channel, theirs = socket.socketpair()
        environment = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "NO_PROXY": "127.0.0.1"}
        environment["XDG_CACHE_HOME"] = str(home / "cache")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.warm", str(theirs.fileno())],
            env=os.environ | environment,
            cwd=TESTS.parent,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._channel.recv(1)

    def __enter__(self) -> "Warm":
        return self

    def __exit__(self, *_) -> None:
        self._channel.close()
        self._process.kill()  # a command may still run
        self._process.wait()

    def run(self, arguments: list[str], decide: Callable[[Operation], int] | None = None) -> Ended:
        """Runs `prouter ARGUMENTS`, or `python -m MODULE ...`, to its end; `decide` as for `system_calls.answer`."""
        self.start(arguments, decide is not None)
        self.go()
        if decide is not None:
            answer(self._listener, self._pid, decide)
        return self.wait()

    def start(self, arguments: list[str], watched: bool = False) -> None:
        """Forks a command, which waits for `go`."""
        self._channel.sendall(json.dumps([arguments, str(self._said), watched]).encode())
        pid, (self._listener, *_), *_ = socket.recv_fds(self._channel, 100, 1)
        self._pid = int(pid)

    def go(self) -> None:
        self._channel.sendall(b"g")

    def wait(self) -> Ended:
        """Until the command has ended."""
        code = int(self._channel.recv(100))
        os.close(self._listener)
        return Ended(code, self._said.read_text(errors="replace"))


def _serve(channel: socket.socket) -> None:
    """Forks what is asked for and tells how each command ended; returns in the children alone."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    channel.sendall(b"r")
    while request := channel.recv(1 << 16):
        pid = os.fork()
        if not pid:
            return _become(*json.loads(request), channel)
        _, status = os.waitpid(pid, 0)
        channel.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    sys.exit()


def _become(arguments: list[str], said: str, watched: bool, channel: socket.socket) -> None:
    """Makes this process the command, from the moment at which the other end says so."""
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    listener = ask_before_file_operations() if watched else os.open(os.devnull, os.O_RDONLY)
    socket.send_fds(channel, [str(os.getpid()).encode()], [listener])
    os.close(listener)
    channel.recv(1)
    channel.close()
    sys.argv = ["prouter", *arguments]


def _run() -> None:
    """Runs the command to its end; what is only in memory is not torn down, which would copy all that is shared."""
    try:
        if sys.argv[1] == "-m":
            del sys.argv[:2]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_module("launch", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _run()
