"""The processes of one run: who writes and tells, how they wait for each other, and what SIGTERM asks of them."""

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
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def barrier(what: str) -> None:
    """Returns when all processes have come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def ask_primary(ask: Callable[[], T]) -> T:
    """What `ask` returns in process 0, which alone calls it: the small files are read and written by one process.

    Args:
      ask: returns JSON; in every process tuples come as lists, if there are several.

    Raises:
      OSError, ValueError: in every process what `ask` raised, so that none waits for another.
    """
    if jax.process_count() == 1:
        return ask()
    answer, error = None, None
    if is_primary():
        try:
            answer = ask()
        except (OSError, ValueError) as raised:
            error = raised
    kind = "" if error is None else "OSError" if isinstance(error, OSError) else "ValueError"
    answer, kind, message = _from_first([answer, kind, str(error)])
    if kind:
        raise (OSError if kind == "OSError" else ValueError)(message) from error
    return answer


def broadcast(numbers):
    """The numbers as the first process has them."""
    return multihost_utils.broadcast_one_to_all(np.asarray(numbers)) if jax.process_count() > 1 else numbers


def shutdown() -> None:
    """Ends the processes' bond: from here on none waits for another, and what they computed together is gone."""
    if jax.distributed.is_initialized():
        barrier("done")
        jax.distributed.shutdown()


class Preempted(Exception):
    """Training has stopped where it can go on."""


class Preemption:
    """A context manager in which SIGTERM does not end the process; `reached` tells of it.

    With several processes, one that gets the signal tells the others, and all agree on the step: JAX sees to that once
    `jax.distributed` is initialised.
    """

    def __init__(self):
        self.signalled = False
        self.previous = None

    def __enter__(self) -> "Preemption":
        # Python lets the main thread alone handle signals
        if not jax.distributed.is_initialized() and threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)

    def reached(self, step: int) -> bool:
        """Whether to save step `step` and stop; all processes ask at every step and get the same answer."""
        if jax.distributed.is_initialized():
            return multihost_utils.reached_preemption_sync_point(step)
        return self.signalled

    def _note(self, *_) -> None:
        self.signalled = True


def _from_first(value):
    """`value` of process 0, all of it JSON, in every process."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    told = multihost_utils.broadcast_one_to_all(np.resize(text, length))
    return json.loads(np.asarray(told, np.uint8).tobytes())  # it comes in the wider type of a sum
