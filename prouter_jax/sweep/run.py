"""`run_trials`: starts the trials of a sweep, so many at a time, follows them, and tries a failed one once more."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from prouter_jax.config import ExperimentConfig
from prouter_jax.io.paths import is_remote
from prouter_jax.sweep.fields import with_values
from prouter_jax.sweep.progress_line import ProgressLine
from prouter_jax.sweep.rewards import read_reports, read_rewards
from prouter_jax.sweep.search import Search
from prouter_jax.sweep.trials import BEGUN, DONE, FAILED, PRUNED, Trial, TrialFolders

_STARTS = 2  # of a trial that fails
_PAUSE, _REMOTE_PAUSE = 0.2, 2.0  # seconds between two looks at the running trials; in a bucket each is a request
_PATIENCE = 60.0  # seconds that a stopped trial has to end


class Running(Protocol):
    """A trial's run, under way."""

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        ...

    def stop(self) -> None:
        """Asks it to end."""
        ...

    def last_words(self) -> str:
        """The last line of its log, which says why it failed."""
        ...


Start = Callable[[Sequence[tuple[Trial, pathlib.Path]]], Sequence[Running]]  # of trials and the workdirs of their runs


class Stopped(Exception):
    """The sweep was asked to stop; given again, it goes on."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep does.

    Attributes:
      config: what trials have besides their values.
      start: starts trials, all or none; may raise a ValueError or OSError, which ends the sweep.
      concurrency: trials that run at a time, at most.
      retry_failures: start again what failed for good in an earlier run.
    """

    config: ExperimentConfig
    search: Search
    folders: TrialFolders
    start: Start
    concurrency: int = 1
    retry_failures: bool = False


def run_trials(plan: Plan, stopping: Callable[[], bool] = lambda: False) -> list[Trial]:
    """Runs the trials that have not ended yet; all of them, by number.

    Args:
      stopping: asked at each look at the running trials; once true, the running trials are stopped.

    Raises:
      Stopped: if it was asked to stop before the end.
      ValueError: naming the file, if a trial's file is damaged.
    """
    loop = _Loop(plan)
    try:
        loop.run(stopping)
    finally:
        loop.stop()
    return [loop.trials[number] for number in range(plan.search.total)]


@dataclasses.dataclass(frozen=True)
class _Started:
    trial: Trial
    running: Running
    begun: float


class _Loop:
    def __init__(self, plan: Plan):
        self.plan = plan
        self.trials = plan.folders.read(plan.search.total)
        for number, trial in self.trials.items():
            if trial.state == FAILED and plan.retry_failures:
                self.trials[number] = dataclasses.replace(trial, state=BEGUN, failures=0)
            elif trial.ended:
                plan.search.learn(trial, self._reports(trial))
        self.running: dict[int, _Started] = {}
        ended = {number for number, trial in self.trials.items() if trial.ended}
        self.waiting = [number for number in range(plan.search.total) if number not in ended]
        # what was begun goes first: a guided search is told of it before it draws anew
        self.waiting.sort(key=lambda number: (number not in self.trials, number))
        self.progress = ProgressLine(self.trials.values(), plan.search.total, plan.concurrency)

    def run(self, stopping: Callable[[], bool]) -> None:
        while self.waiting or self.running:
            if stopping():
                raise Stopped
            free = self.plan.concurrency - len(self.running)
            self._begin(self.waiting[:free])
            del self.waiting[:free]
            for started in list(self.running.values()):
                self._follow(started)
            self.progress.show([time.monotonic() - one.begun for one in self.running.values()])
            if self.running:
                time.sleep(_REMOTE_PAUSE if is_remote(self.plan.folders.workdir) else _PAUSE)

    def stop(self) -> None:
        """Stops what runs, which is nothing after a whole run; what was begun can go on another time."""
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
            trials.append(dataclasses.replace(trial, values=self.plan.search.begin(number, trial.values or None)))
            self._keep(trials[-1])
        started = self.plan.start([(trial, self.plan.folders.folder(trial)) for trial in trials]) if trials else []
        for trial, running in zip(trials, started, strict=True):
            self.running[trial.number] = _Started(trial, running, time.monotonic())

    def _follow(self, started: _Started) -> None:
        code, trial = started.running.poll(), started.trial
        if code is None:
            if self.plan.search.prunes and self.plan.search.hopeless(trial.number, self._reports(trial)):
                started.running.stop()
                _wait(started.running)
                self._end(started, state=PRUNED)
        elif code:
            self._fail(started, f"exit code {code}: {started.running.last_words()}")
        else:
            try:
                rewards = read_rewards(self._config(trial), self.plan.folders.folder(trial))
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
        """One start of a trial is over, mostly with the trial."""
        del self.running[started.trial.number]
        trial = dataclasses.replace(started.trial, seconds=time.monotonic() - started.begun, **changes)
        self._keep(trial)
        if trial.ended:
            self.plan.search.learn(trial, self._reports(trial))
        self.progress.ended(trial)

    def _keep(self, trial: Trial) -> None:
        self.plan.folders.write(trial)
        self.trials[trial.number] = trial

    def _config(self, trial: Trial) -> ExperimentConfig:
        return with_values(self.plan.config, trial.values)

    def _reports(self, trial: Trial) -> list[tuple[int, float]]:
        return read_reports(self._config(trial), self.plan.folders.folder(trial)) if self.plan.search.prunes else []


def _wait(running: Running) -> None:
    """Until a stopped trial has ended: its folder may then be given to another process."""
    until = time.monotonic() + _PATIENCE
    while running.poll() is None:
        if time.monotonic() > until:
            raise ValueError(f"a stopped trial still runs after {_PATIENCE:.0f} s: wait for its end before going on")
        time.sleep(_PAUSE)
