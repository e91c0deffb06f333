"""The processes of one run: who writes, how they wait for each other, and what SIGTERM asks of them."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def together(what: str) -> None:
    """Returns when all processes have come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def leave() -> None:
    """Ends the processes' bond: from here on none waits for another, and what they computed together is gone."""
    if jax.distributed.is_initialized():
        together("done")
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
