"""Hyperparameter search: spaces of Optuna distributions, grids and random draws, and a study that proposes trials.

A trial is one configuration. `launch.sweep` runs a `Search`; the evaluation protocol tunes the router and the baselines
with configurations from `draw`.
"""

import itertools
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
Space = Mapping[str, Distribution]  # by name of the setting
Values = Mapping[str, Any]  # one value for each name
Reports = Sequence[tuple[int, float]]  # (training step, validation reward) of a running trial

GRID, RANDOM, TPE = "grid", "random", "optuna"
_WARMUP_SHARE = 4  # no trial is pruned in the first quarter of its first seed
_DIGITS = 4  # significant digits of a random float, enough for a search and readable in a command


def one_of(*values: Any) -> CategoricalDistribution:
    """Uniform over a list of values."""
    return CategoricalDistribution(values)


def uniform(low: float, high: float) -> FloatDistribution:
    """Uniform over an interval."""
    return FloatDistribution(low, high)


def log_uniform(low: float, high: float) -> FloatDistribution:
    """Uniform over the logarithm, `low` > 0."""
    return FloatDistribution(low, high, log=True)


def draw(space: Space, rng: np.random.Generator) -> dict[str, Any]:
    """One random configuration; names are drawn in the order of the space.

    Not Optuna's RandomSampler: published tables name the configurations that these draws gave.
    """
    return {name: _sample(distribution, rng) for name, distribution in space.items()}


def draw_trial(space: Space, seed: int, number: int) -> dict[str, Any]:
    """Configuration of random trial `number`, a function of the seed, the number and each name's own distribution.

    Floats have four significant digits.
    """
    streams = {name: np.random.default_rng([seed, number, zlib.crc32(name.encode())]) for name in space}
    return {name: _rounded(_sample(one, streams[name]), one) for name, one in space.items()}


def grid(space: Space) -> list[dict[str, Any]]:
    """All combinations of lists; the values of the last list change fastest.

    Raises:
      ValueError: if a distribution is not a list of values.
    """
    lists = []
    for name, distribution in space.items():
        if not isinstance(distribution, CategoricalDistribution):
            raise ValueError(f"{name}: expected a list of values for a grid, found a range")
        lists.append(distribution.choices)
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]


class Search:
    """An Optuna study that proposes the configurations of trials and prunes trials that fall behind.

    Grids and random draws are enqueued in the study; TPE proposes near trials that did well. The study lives in
    memory: when a search is resumed, `tell` records the ended trials again.

    Args:
      kind: GRID, RANDOM or TPE (with the median pruner).
      total: number of trials; None for a grid.
      seed: TPE's proposals depend on it, the trial's number, and the trials that had begun or ended.
      num_steps: training steps of one seed of a trial.

    Attributes:
      prunes: whether `should_prune` can be true.
      total: number of trials.
      fixed: all configurations, where they do not depend on results; empty for TPE.

    Raises:
      ValueError: if the kind is GRID and the space has a range.
    """

    def __init__(self, space: Space, kind: str, total: int | None, seed: int, num_steps: int):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space: dict[str, BaseDistribution] = dict(space)
        self.kind, self._seed = kind, seed
        self.fixed: Sequence[dict[str, Any]] = []
        if kind == GRID:
            self.fixed = grid(space)
        elif kind == RANDOM:
            self.fixed = [draw_trial(space, seed, number) for number in range(total or 0)]
        self.total = len(self.fixed) or total or 0
        self.prunes = kind == TPE
        pruner = optuna.pruners.MedianPruner(n_warmup_steps=num_steps // _WARMUP_SHARE)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._asked: dict[int, optuna.Trial] = {}  # by number
        self._last_step: dict[int, int] = {}  # by number, of the reports so far

    def ask(self, number: int, values: Values | None = None) -> dict[str, Any]:
        """The configuration of a trial that is about to start.

        Args:
          values: its configuration if it was begun in an earlier run.
        """
        if number not in self._asked:
            if self.fixed and not values:
                values = self.fixed[number]
            # One sampler a trial: a resumed search must not repeat the random numbers of its beginning.
            seed = zlib.crc32(f"{self._seed} {number}".encode())
            self._study.sampler = optuna.samplers.TPESampler(seed=seed)
            if values:
                self._study.enqueue_trial(dict(values))
            self._asked[number] = self._study.ask(self._space)
        return dict(self._asked[number].params)

    def tell(self, number: int, values: Values, reward: float | None, pruned: bool, reports: Reports) -> None:
        """Records a trial that has ended, in this run or in an earlier one.

        Args:
          reward: its validation reward; None if it was pruned or failed.
          reports: its validation rewards during training.
        """
        states = optuna.trial.TrialState
        state = states.COMPLETE if reward is not None else states.PRUNED if pruned else states.FAIL
        if number in self._asked:
            self._report(number, reports)
            self._study.tell(self._asked[number], reward, state)
            return
        steps = {step: value for step, value in reports if math.isfinite(value)}
        known = {"params": dict(values), "distributions": self._space, "intermediate_values": steps}
        self._study.add_trial(optuna.trial.create_trial(state=state, value=reward, **known))

    def should_prune(self, number: int, reports: Reports) -> bool:
        """Whether a running trial is behind the median of the others at the same step."""
        return self.prunes and self._report(number, reports) and self._asked[number].should_prune()

    def _report(self, number: int, reports: Reports) -> bool:
        """Adds the new reports to the study; returns whether there were any."""
        last = self._last_step.get(number, -1)
        new = [(step, reward) for step, reward in reports if step > last and math.isfinite(reward)]
        for step, reward in new:
            self._asked[number].report(reward, step)
            self._last_step[number] = step
        return bool(new)


def _sample(distribution: Distribution, rng: np.random.Generator) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    if isinstance(distribution, FloatDistribution):
        return _between(distribution.low, distribution.high, distribution.log, rng)
    # the floor of a number in [low, high + 1) reaches both ends equally often
    whole = math.floor(_between(distribution.low, distribution.high + 1, distribution.log, rng))
    return min(max(whole, distribution.low), distribution.high)


def _between(low: float, high: float, log: bool, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if log else rng.uniform(low, high))


def _rounded(value: Any, distribution: Distribution) -> Any:
    if not isinstance(distribution, FloatDistribution):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), distribution.low), distribution.high)
