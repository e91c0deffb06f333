"""Guided search: Optuna proposes values from what became of other trials, and gives up those that fall behind.

Optuna's study lives in memory and is told again, from the trials' folders, what is known: these stay the only truth.
"""

import math
import statistics
import zlib
from collections.abc import Sequence
from typing import Any

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.fields import Values
from prouter_jax.sweep.space import Choices, Dimension
from prouter_jax.sweep.trials import DONE, PRUNED, Trial

_WARMUP = 4  # nothing is given up in the first quarter of its first seed


class GuidedSearch:
    """A `Search` by Optuna's TPE with its median pruner.

    A trial's values follow from the seed, its number, and what had ended or was under way when it began.

    Raises:
      ImportError: saying what to install.
    """

    prunes = True

    def __init__(self, space: Sequence[Dimension], total: int, seed: int, config: ExperimentConfig):
        optuna = _import_optuna()
        self.total = total
        self._optuna, self._seed = optuna, seed
        self._distributions = {one.path: _distribution(optuna, one) for one in space}
        pruner = optuna.pruners.MedianPruner(n_warmup_steps=config.train.num_train_steps // _WARMUP)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._asked = {}
        self._reported: dict[int, int] = {}  # by number: the last step told

    def begin(self, number: int, values: Values | None) -> Values:
        if number not in self._asked:
            # a sampler of its own: a sweep that goes on must not draw again what it drew at its start
            seed = zlib.crc32(f"{self._seed} {number}".encode())
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
            if values is not None:
                self._study.enqueue_trial(dict(values))
            self._asked[number] = self._study.ask(self._distributions)
        return dict(self._asked[number].params)

    def learn(self, trial: Trial, reports: Sequence[tuple[int, float]]) -> None:
        states = self._optuna.trial.TrialState
        state = {DONE: states.COMPLETE, PRUNED: states.PRUNED}.get(trial.state, states.FAIL)
        value = statistics.fmean(trial.rewards) if state == states.COMPLETE else None
        if trial.number in self._asked:
            self._report(trial.number, reports)
            self._study.tell(self._asked[trial.number], value, state)
            return
        known = {"params": dict(trial.values), "distributions": self._distributions, "value": value}
        ended = self._optuna.trial.create_trial(state=state, **known, intermediate_values=dict(_finite(reports)))
        self._study.add_trial(ended)

    def hopeless(self, number: int, reports: Sequence[tuple[int, float]]) -> bool:
        return self._report(number, reports) and self._asked[number].should_prune()

    def _report(self, number: int, reports: Sequence[tuple[int, float]]) -> bool:
        """Tells what is new of a trial; whether there is something."""
        last = self._reported.get(number, -1)
        new = [(step, reward) for step, reward in _finite(reports) if step > last]
        for step, reward in new:
            self._asked[number].report(reward, step)
            self._reported[number] = step
        return bool(new)


def _finite(reports: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(step, reward) for step, reward in reports if math.isfinite(reward)]


def _import_optuna():
    try:
        import optuna
    except ImportError:
        raise ImportError("--search=optuna: pip install 'prouter-jax[sweep]' first") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return optuna.distributions.CategoricalDistribution(tuple(dimension.values))
    kinds = {int: optuna.distributions.IntDistribution, float: optuna.distributions.FloatDistribution}
    return kinds[type(dimension.low)](dimension.low, dimension.high, log=dimension.log)
