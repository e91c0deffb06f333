"""Runs the trials of a sweep: starts them, follows them, prunes some, and starts a failed one a second time."""

import dataclasses
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prouter_jax.config import ExperimentConfig, with_values
from prouter_jax.io.display import log_line
from prouter_jax.io.paths import is_remote
from prouter_jax.search import Search
from prouter_jax.sweep.trials import (
    BEGUN,
    DONE,
    FAILED,
    PRUNED,
    Trial,
    TrialStore,
    intermediate_rewards,
    validation_rewards,
)

_STARTS = 2  # of a trial that fails
_POLL_SECONDS, _REMOTE_POLL_SECONDS = 0.2, 2.0  # between two polls of the running trials; in a bucket each is a request
_STOP_SECONDS = 60.0  # until a stopped trial must have ended
_TERMINAL_SECONDS, _LOG_SECONDS = 1.0, 60.0  # between two lines of progress


class Running(Protocol):
    """A trial's run, under way."""

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        ...

    def stop(self) -> None:
        """Asks it to end."""
        ...

    def last_log_line(self) -> str:
        """Its last line, which says why it failed."""
        ...


# Starts trials, given with the workdirs of their runs: all of them or, with a ValueError or OSError, none.
Start = Callable[[Sequence[tuple[Trial, pathlib.Path]]], Sequence[Running]]


class Stopped(Exception):
    """The sweep was asked to stop; the same command resumes it."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A sweep that is ready to run.

    Attributes:
      config: base configuration; each trial overrides the swept fields.
      concurrency: number of trials that run at a time, at most.
      retry_failures: start again trials that failed for good in an earlier run.
    """

    config: ExperimentConfig
    search: Search
    store: TrialStore
    start: Start
    concurrency: int = 1
    retry_failures: bool = False


def run_trials(study: Study, stopping: Callable[[], bool] = lambda: False) -> list[Trial]:
    """Runs the trials that have not ended yet.

    Args:
      stopping: called at each poll of the running trials; once it is true, they are stopped.

    Returns:
      All trials, by number.

    Raises:
      Stopped: if `stopping` became true before the end.
      ValueError: naming the file, if a trial's record is damaged.
    """
    loop = _Loop(study)
    try:
        loop.run(stopping)
    finally:
        loop.stop()
    return [loop.trials[number] for number in range(study.search.total)]


@dataclasses.dataclass(frozen=True)
class _Started:
    trial: Trial
    running: Running
    begun: float


class _Loop:
    def __init__(self, study: Study):
        self.study = study
        self.trials = study.store.read(study.search.total)
        for number, trial in self.trials.items():
            if trial.state == FAILED and study.retry_failures:
                self.trials[number] = dataclasses.replace(trial, state=BEGUN, failures=0)
            elif trial.ended:
                self._tell(trial)
        self.running: dict[int, _Started] = {}
        ended = {number for number, trial in self.trials.items() if trial.ended}
        self.waiting = [number for number in range(study.search.total) if number not in ended]
        # Trials begun earlier go first: TPE must know of them before it proposes others.
        self.waiting.sort(key=lambda number: (number not in self.trials, number))
        self.progress = ProgressLine(self.trials.values(), study.search.total, study.concurrency)

    def run(self, stopping: Callable[[], bool]) -> None:
        pause = _REMOTE_POLL_SECONDS if is_remote(self.study.store.workdir) else _POLL_SECONDS
        while self.waiting or self.running:
            if stopping():
                raise Stopped
            free = self.study.concurrency - len(self.running)
            self._begin(self.waiting[:free])
            del self.waiting[:free]
            for started in list(self.running.values()):
                self._follow(started)
            self.progress.show([time.monotonic() - one.begun for one in self.running.values()])
            if self.running:
                time.sleep(pause)

    def stop(self) -> None:
        """Stops the running trials, if any; a later run resumes them."""
        for started in self.running.values():
            started.running.stop()
        for started in self.running.values():
            _wait(started.running)
        self.running.clear()
        self.progress.close()

    def _begin(self, numbers: Sequence[int]) -> None:
        trials = []
        for number in numbers:
            trial = self.trials.get(number) or Trial(number, {})
            trials.append(dataclasses.replace(trial, values=self.study.search.ask(number, trial.values)))
            self._keep(trials[-1])
        started = self.study.start([(trial, self.study.store.folder(trial)) for trial in trials]) if trials else []
        for trial, running in zip(trials, started, strict=True):
            self.running[trial.number] = _Started(trial, running, time.monotonic())

    def _follow(self, started: _Started) -> None:
        code, trial = started.running.poll(), started.trial
        if code is None:
            if self.study.search.prunes and self.study.search.should_prune(trial.number, self._reports(trial)):
                started.running.stop()
                _wait(started.running)
                self._end(started, state=PRUNED)
        elif code:
            self._fail(started, f"exit code {code}: {started.running.last_log_line()}")
        else:
            try:
                rewards = validation_rewards(self._config(trial), self.study.store.folder(trial))
            except ValueError as error:
                self._fail(started, str(error))
            else:
                self._end(started, state=DONE, rewards=rewards)

    def _fail(self, started: _Started, reason: str) -> None:
        failures = started.trial.failures + 1
        again = failures < _STARTS
        if again:
            self.waiting.append(started.trial.number)
        self._end(started, state=BEGUN if again else FAILED, failures=failures, reason=reason)

    def _end(self, started: _Started, **changes) -> None:
        """Records that one start of a trial has ended, mostly the trial with it."""
        del self.running[started.trial.number]
        trial = dataclasses.replace(started.trial, seconds=time.monotonic() - started.begun, **changes)
        self._keep(trial)
        if trial.ended:
            self._tell(trial)
        self.progress.ended(trial)

    def _keep(self, trial: Trial) -> None:
        self.study.store.write(trial)
        self.trials[trial.number] = trial

    def _tell(self, trial: Trial) -> None:
        pruned, reports = trial.state == PRUNED, self._reports(trial)
        self.study.search.tell(trial.number, trial.values, trial.reward, pruned, reports)

    def _config(self, trial: Trial) -> ExperimentConfig:
        return with_values(self.study.config, trial.fields)

    def _reports(self, trial: Trial) -> list[tuple[int, float]]:
        if not self.study.search.prunes:
            return []
        return intermediate_rewards(self._config(trial), self.study.store.folder(trial))


class ProgressLine:
    """Progress of a sweep on stderr: a line for each trial that ends, and between them one with the time left.

    Args:
      trials: of earlier runs.
      concurrency: number of trials that run at a time.
    """

    def __init__(self, trials: Iterable[Trial], total: int, concurrency: int):
        self.trials = {trial.number: trial for trial in trials if trial.ended}
        self.total, self.concurrency = total, concurrency
        self._terminal, self._printed = sys.stderr.isatty(), time.monotonic()
        if self.trials:
            self._print(f"{len(self.trials)} of {total} trials have ended in an earlier run")

    def ended(self, trial: Trial) -> None:
        """Prints how one start of a trial ended."""
        if trial.ended:
            self.trials[trial.number] = trial
        self._print(f"trial {trial.name} {_outcome(trial)}, {trial.seconds:.1f} s; {self.line([])}")

    def show(self, elapsed: Sequence[float]) -> None:
        """Prints the line once a second on a terminal, once a minute in a log.

        Args:
          elapsed: seconds since the start of each running trial.
        """
        if time.monotonic() - self._printed > (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            self._print(self.line(elapsed), end="" if self._terminal else "\n")

    def close(self) -> None:
        """Clears the line on a terminal."""
        log_line("", end="")

    def line(self, elapsed: Sequence[float]) -> str:
        """`4/20 trials, 1 failed, 2 running, best 0.5312 (trial 003), 38 s left`."""
        states = [trial.state for trial in self.trials.values()]
        counts = {state: states.count(state) for state in (PRUNED, FAILED)} | {"running": len(elapsed)}
        parts = [f"{len(states)}/{self.total} trials", *(f"{n} {name}" for name, n in counts.items() if n)]
        rewards = [(trial.reward, -trial.number) for trial in self.trials.values() if trial.reward is not None]
        if rewards:
            reward, number = max(rewards)
            parts.append(f"best {reward:.4f} (trial {-number:03d})")
        return ", ".join([*parts, self._left(elapsed)])

    def _left(self, elapsed: Sequence[float]) -> str:
        left = self.total - len(self.trials)
        known = [trial.seconds for trial in self.trials.values() if trial.state == DONE]
        if not known and left:
            return "time left unknown"
        each = statistics.median(known) if known else 0.0
        work = left * each - sum(min(seconds, each) for seconds in elapsed)
        return f"{work / max(1, min(self.concurrency, left)):.0f} s left"

    def _print(self, text: str, end: str = "\n") -> None:
        self._printed = time.monotonic()
        log_line(f"sweep: {text}", end)


def _outcome(trial: Trial) -> str:
    if trial.state == DONE:
        return f"done, {trial.reward:.4f}"
    again = " and is started once more" if trial.state == BEGUN else ""
    return trial.state if trial.state == PRUNED else f"failed{again} ({trial.reason})"


def _wait(running: Running) -> None:
    """Waits for the end of a stopped trial: only then another process may use its folder."""
    until = time.monotonic() + _STOP_SECONDS
    while running.poll() is None:
        if time.monotonic() > until:
            raise ValueError(f"a stopped trial still runs after {_STOP_SECONDS:.0f} s: wait for its end first")
        time.sleep(_POLL_SECONDS)
