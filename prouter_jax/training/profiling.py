"""Watches the steps of a run: how long they take, and a trace of those that were asked for."""

import contextlib
import dataclasses
import pathlib
import re
import statistics
import time
from collections.abc import Iterator

import jax

from prouter_jax.io.display import log_line, waiting
from prouter_jax.io.files import uploaded
from prouter_jax.training.multihost import is_primary

TRACES = "profile"
STEP = "train"  # name of a step in a trace


@dataclasses.dataclass(frozen=True)
class Pace:
    """What a run's steps were like.

    Attributes:
      text: the compiled step's, which is what one device does; None where the compiler gives none.
      seconds: of a step, the median between evaluations; None if there was one step alone, which was compiled.
      devices: of this process.
    """

    parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    text: str | None
    seconds: float | None
    devices: int


def parse_steps(text: str, num_train_steps: int) -> range:
    """START:STOP, the steps from START up to but without STOP, counted from 0.

    Raises:
      ValueError: if it is nothing of the kind, or not within the run.
    """
    found = re.fullmatch(r"(\d+):(\d+)", text)
    steps = range(int(found[1]), int(found[2])) if found else range(0)
    if not steps or steps.stop > num_train_steps:
        raise ValueError(
            f"--profile: expected START:STOP with START < STOP <= {num_train_steps} "
            f"(config.train.num_train_steps), found {text!r}"
        )
    return steps


class Steps:
    """A context manager around the steps of one run, which closes the trace however the run ends.

    Args:
      workdir: the trace is written into profile/process_N of it; in a bucket, once it is closed.
      traced: the steps to trace.
    """

    def __init__(self, workdir: pathlib.Path, traced: range | None):
        self.folder = workdir / TRACES / f"process_{jax.process_index()}"
        self.traced = traced or range(0)
        self.tracing = self.warm = False
        self.trace = contextlib.ExitStack()  # closed, it is where it belongs
        self.latest = None
        self.number, self.since = 0, 0.0  # steps since a time
        self.paces: list[float] = []

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_) -> None:
        if self.tracing:
            self._stop()
        elif self.traced and is_primary():
            log_line(
                f"{TRACES}: steps {self.traced.start}:{self.traced.stop} were not run, so there is no trace of them"
            )

    @property
    def seconds(self) -> float | None:
        """Of a step."""
        return statistics.median(self.paces) if self.paces else None

    def begin(self) -> None:
        """Before steps of another kind, the first of which is compiled."""
        self.warm = False

    @contextlib.contextmanager
    def one(self, step: int) -> Iterator[None]:
        """Around what step number `step` does."""
        if step in self.traced and not self.tracing:
            self._start(step)
        if not self.number:
            self.since = time.perf_counter()
        shown = contextlib.nullcontext() if self.warm else waiting("router: compiling the first step")
        with shown, jax.profiler.StepTraceAnnotation(STEP, step_num=step):
            yield

    def done(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """After a step, of which `metrics` need not be there yet; `step` are done."""
        self.latest, self.number = metrics, self.number + 1
        if not self.warm:  # it was compiled
            self.wait(counts=False)
            self.warm = True
        if self.tracing and step >= self.traced.stop:
            self._stop()

    def wait(self, counts: bool = True) -> None:
        """Waits until all steps are done; their time is counted up to here, unless it is not to count."""
        jax.block_until_ready(self.latest)
        if counts and self.number and not self.tracing:
            self.paces.append((time.perf_counter() - self.since) / self.number)
        self.number = 0

    def _start(self, step: int) -> None:
        self.wait()
        self.traced = range(step, self.traced.stop)
        options = jax.profiler.ProfileOptions()
        options.session_id = f"step_{step}"  # otherwise the time in seconds: a second trace could replace the first
        options.python_tracer_level = 0  # every call of every function would fill the trace
        here = self.trace.enter_context(uploaded(self.folder))
        jax.profiler.start_trace(here, create_perfetto_trace=True, profiler_options=options)
        self.tracing = True

    def _stop(self) -> None:
        try:
            self.wait(counts=False)
        finally:
            first, self.tracing, self.traced = self.traced.start, False, range(0)
            with self.trace:
                jax.profiler.stop_trace()
            if is_primary():
                log_line(f"{TRACES}: a trace from step {first} on is in {self.folder}")
