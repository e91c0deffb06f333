"""Coordination of the processes of one run: the primary process, barriers, broadcasts and preemption by SIGTERM."""

import json
import signal
import threading
import typing
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

T = typing.TypeVar("T")


def is_primary() -> bool:
    """Whether this is process 0, which writes files and logs."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes have called this with the same name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def ask_primary(function: Callable[[], T]) -> T:
    """Calls a function in process 0 alone and returns its result in every process.

    Args:
      function: returns JSON; with several processes, tuples come back as lists.

    Raises:
      OSError, ValueError: in every process, if the function raised one.
    """
    if jax.process_count() == 1:
        return function()
    result, error = None, None
    if is_primary():
        try:
            result = function()
        except (OSError, ValueError) as raised:
            error = raised
    kind = "" if error is None else "OSError" if isinstance(error, OSError) else "ValueError"
    result, kind, message = _broadcast_json([result, kind, str(error)])
    if kind:
        raise (OSError if kind == "OSError" else ValueError)(message) from error
    return result


def broadcast(numbers):
    """Returns the numbers of process 0 in every process."""
    return multihost_utils.broadcast_one_to_all(np.asarray(numbers)) if jax.process_count() > 1 else numbers


def shutdown() -> None:
    """Shuts down jax.distributed after a barrier; later collectives would fail."""
    if jax.distributed.is_initialized():
        barrier("done")
        jax.distributed.shutdown()


class Preempted(Exception):
    """Training has stopped after SIGTERM, its state saved; the same command resumes it."""


class Preemption:
    """Context manager that turns SIGTERM into a flag, read by `reached`.

    With several processes, jax.distributed forwards the signal and all processes agree on the step.
    """

    def __init__(self):
        self.signalled = False
        self.previous = None

    def __enter__(self) -> "Preemption":
        # Python handles signals in the main thread alone
        if not jax.distributed.is_initialized() and threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)

    def reached(self, step: int) -> bool:
        """Whether to save step `step` and stop; the same in all processes, which must call it at every step."""
        if jax.distributed.is_initialized():
            return multihost_utils.reached_preemption_sync_point(step)
        return self.signalled

    def _note(self, *_) -> None:
        self.signalled = True


def _broadcast_json(value):
    """The JSON value of process 0 in every process."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    received = multihost_utils.broadcast_one_to_all(np.resize(text, length))
    return json.loads(np.asarray(received, np.uint8).tobytes())  # the broadcast is a sum, of a wider type
