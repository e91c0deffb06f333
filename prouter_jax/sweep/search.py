"""Which values the trials of a sweep have: all combinations, chance, or (guided.py) what was learnt from others."""

from collections.abc import Sequence
from typing import Protocol

from prouter_jax.config import ExperimentConfig, validate
from prouter_jax.sweep.fields import Values, flag_text, with_values
from prouter_jax.sweep.space import Choices, Dimension, draw, grid_point, grid_size
from prouter_jax.sweep.trials import Trial

SEARCHES = ("grid", "random", "optuna")
MOST_TRIALS = 10_000


class Search(Protocol):
    """Chooses values, and may learn from what became of them.

    Attributes:
      total: number of trials.
      prunes: whether it looks at running trials at all.
    """

    total: int
    prunes: bool

    def begin(self, number: int, values: Values | None) -> Values:
        """The values of a trial that is about to start, which are `values` if it was begun in an earlier run."""
        ...

    def learn(self, trial: Trial, reports: Sequence[tuple[int, float]]) -> None:
        """A trial has ended.

        Args:
          reports: the validation rewards on its way, see `rewards.read_reports`.
        """
        ...

    def hopeless(self, number: int, reports: Sequence[tuple[int, float]]) -> bool:
        """Whether a running trial is not worth going on with."""
        ...


class FixedSearch:
    """Trials whose values are known beforehand."""

    prunes = False

    def __init__(self, values: Sequence[Values]):
        self._values = values
        self.total = len(values)

    def begin(self, number: int, values: Values | None) -> Values:
        return self._values[number]

    def learn(self, trial: Trial, reports: Sequence[tuple[int, float]]) -> None:
        pass

    def hopeless(self, number: int, reports: Sequence[tuple[int, float]]) -> bool:
        return False


def choose_search(name: str | None, space: Sequence[Dimension], trials: int | None) -> str:
    """The kind of search that was asked for: a grid if nothing says otherwise and all dimensions are lists.

    Raises:
      ValueError: if the number of trials does not go with it.
    """
    if name is None:
        name = "grid" if trials is None and all(isinstance(one, Choices) for one in space) else "random"
    if name == "grid":
        size = grid_size(space)
        if trials is not None:
            raise ValueError(f"--trials: expected none for a grid, which has {size}, found {trials}")
        trials = size
    if trials is None or not 1 <= trials <= MOST_TRIALS:
        raise ValueError(f"--trials: expected a number from 1 to {MOST_TRIALS} for a search of {name}, found {trials}")
    return name


def make_search(
    name: str, space: Sequence[Dimension], trials: int | None, seed: int, config: ExperimentConfig
) -> Search:
    """The search `name`, checked before anything starts.

    Args:
      name: of `choose_search`.
      trials: how many; None for a grid.
      config: what trials have besides their values.

    Raises:
      ValueError: if a combination of values is impossible.
      ImportError: saying what to install.
    """
    if name == "optuna":
        from prouter_jax.sweep.guided import GuidedSearch

        assert trials is not None
        return GuidedSearch(space, trials, seed, config)
    if name == "grid":
        values = [grid_point(space, number) for number in range(grid_size(space))]
    else:
        values = [draw(space, seed, number) for number in range(trials or 0)]
    for number, one in enumerate(values):
        _check(config, number, one)
    return FixedSearch(values)


def _check(config: ExperimentConfig, number: int, values: Values) -> None:
    try:
        validate(with_values(config, values))
    except ValueError as error:
        words = ", ".join(f"{path}={flag_text(value)}" for path, value in values.items())
        raise ValueError(f"trial {number} ({words}): {error}") from None
