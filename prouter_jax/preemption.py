"""SIGTERM: whoever runs the job wants the machine back, and gives some seconds to save."""

import signal

import jax
from jax.experimental import multihost_utils


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
        if not jax.distributed.is_initialized():
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
