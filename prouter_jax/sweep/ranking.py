"""Which trial is best: the highest mean of its seeds' validation rewards."""

import math
import statistics
from collections.abc import Iterable, Sequence

from prouter_jax.report.types import Spread
from prouter_jax.sweep.trials import DONE, Trial


def rank(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that are done, best first; equal ones by number."""
    done = (trial for trial in trials if trial.state == DONE)
    return sorted(done, key=lambda trial: (-statistics.fmean(trial.rewards), trial.number))


def reward_of(trial: Trial) -> Spread:
    """Mean and standard deviation over the seeds of a trial that is done."""
    rewards = list(trial.rewards)
    return Spread(statistics.fmean(rewards), statistics.stdev(rewards) if len(rewards) > 1 else 0.0, rewards)


def not_clearly_worse(ranked: Sequence[Trial]) -> list[Trial]:
    """Those after the best that fall behind it by no more than a standard error, paired by seed; none for one seed."""
    return [trial for trial in ranked[1:] if _within_error(ranked[0].rewards, trial.rewards)]


def _within_error(best: Sequence[float], other: Sequence[float]) -> bool:
    gaps = [one - two for one, two in zip(best, other, strict=True)]
    return len(gaps) > 1 and statistics.fmean(gaps) <= statistics.stdev(gaps) / math.sqrt(len(gaps))
