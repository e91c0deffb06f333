"""How far a sweep is: a line for each trial that ends, and between them one that says what is left."""

import statistics
import sys
import time
from collections.abc import Iterable, Sequence

from prouter_jax.io.terminal import say
from prouter_jax.sweep.ranking import rank
from prouter_jax.sweep.trials import BEGUN, DONE, FAILED, PRUNED, Trial

_SECONDS_ON_TERMINAL = 1.0
_SECONDS_IN_LOG = 60.0


class ProgressLine:
    """Written to stderr.

    Args:
      trials: of earlier runs.
      total: trials in all.
      concurrency: how many run at a time.
    """

    def __init__(self, trials: Iterable[Trial], total: int, concurrency: int):
        self.trials = {trial.number: trial for trial in trials if trial.ended}
        self.total, self.concurrency = total, concurrency
        self._terminal, self._printed = sys.stderr.isatty(), time.monotonic()
        if self.trials:
            self._say(f"{len(self.trials)} of {total} trials are there from before")

    def ended(self, trial: Trial) -> None:
        """A start of a trial is over."""
        if trial.ended:
            self.trials[trial.number] = trial
        self._say(f"trial {trial.name} {_outcome(trial)}, {trial.seconds:.1f} s; {self.line([])}")

    def show(self, elapsed: Sequence[float]) -> None:
        """Once a second on a terminal, once a minute in a log.

        Args:
          elapsed: seconds that the running trials have run.
        """
        if time.monotonic() - self._printed > (_SECONDS_ON_TERMINAL if self._terminal else _SECONDS_IN_LOG):
            self._say(self.line(elapsed), end="" if self._terminal else "\n")

    def close(self) -> None:
        """Leaves the line on a terminal empty."""
        say("", end="")

    def line(self, elapsed: Sequence[float]) -> str:
        """`4/20 trials, 1 failed, 2 running, best 0.5312 (trial 003), 38 s left`."""
        states = [trial.state for trial in self.trials.values()]
        counts = {f"{state}": states.count(state) for state in (PRUNED, FAILED)} | {"running": len(elapsed)}
        parts = [f"{len(states)}/{self.total} trials", *(f"{n} {name}" for name, n in counts.items() if n)]
        ranked = rank(self.trials.values())
        if ranked:
            parts.append(f"best {statistics.fmean(ranked[0].rewards):.4f} (trial {ranked[0].name})")
        return ", ".join([*parts, self._left(elapsed)])

    def _left(self, elapsed: Sequence[float]) -> str:
        left = self.total - len(self.trials)
        known = [trial.seconds for trial in self.trials.values() if trial.state == DONE]
        if not known and left:
            return "time left unknown"
        each = statistics.median(known) if known else 0.0
        work = left * each - sum(min(seconds, each) for seconds in elapsed)
        return f"{work / max(1, min(self.concurrency, left)):.0f} s left"

    def _say(self, text: str, end: str = "\n") -> None:
        self._printed = time.monotonic()
        say(f"sweep: {text}", end)


def _outcome(trial: Trial) -> str:
    if trial.state == DONE:
        return f"done, {statistics.fmean(trial.rewards):.4f}"
    again = " and is started once more" if trial.state == BEGUN else ""
    return trial.state if trial.state == PRUNED else f"failed{again} ({trial.reason})"
