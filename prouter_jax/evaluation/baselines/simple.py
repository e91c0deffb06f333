"""Policies that need nothing but means of rewards, and the two ends of the scale: chance and the oracle."""

from collections.abc import Callable

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    group_sums,
    population_means,
    smooth,
    user_means,
)


class Random:
    """Any candidate, by chance."""

    name = "random"

    def __init__(self, seed: int = 0):
        self._seed = seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del train, validation

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return np.random.default_rng(self._seed).random(decisions.offered.shape)


class SameForAll:
    """One score [llms] per LLM, given; an unknown one comes last."""

    def __init__(self, name: str, scores: np.ndarray):
        self.name = name
        self._scores = np.where(np.isnan(scores), -np.inf, scores)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del train, validation

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return np.broadcast_to(self._scores, decisions.offered.shape)


class BestSingle:
    """The LLM of the highest mean training reward over all users."""

    name = "best_single"

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del validation
        everybody = np.zeros(len(train.rewards), int)
        overall = _cell_means(train.rewards, everybody, 1)[0]
        # an LLM nobody ever met is taken for an average one
        self._overall = np.where(np.isnan(overall), np.nan_to_num(metrics.mean(train.rewards)), overall)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return np.broadcast_to(self._overall, decisions.offered.shape)


class BestPerUser(BestSingle):
    """The LLM of the highest mean reward in the user's history; the overall mean where it has none."""

    name = "best_per_user"

    def __init__(self, num_users: int):
        self._num_users = num_users

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        own = _cell_means(history.rewards, history.decisions.user, self._num_users)[decisions.user]
        return np.where(np.isnan(own), self._overall, own)


class BestPerUserTask(BestPerUser):
    """The LLM of the highest mean reward in the user's history on this task; the user's own mean where it has none."""

    name = "best_per_user_task"

    def __init__(self, num_users: int, task: np.ndarray, num_tasks: int):
        super().__init__(num_users)
        self._task, self._num_tasks = task, num_tasks

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        cells = self._num_users * (self._num_tasks + 1)
        means = _cell_means(history.rewards, self._cell(history.decisions), cells)[self._cell(decisions)]
        return np.where(np.isnan(means), super().score(history, decisions), means)

    def _cell(self, decisions: DecisionArrays) -> np.ndarray:
        """A number for each user and task; queries without a task (-1) are a task of their own."""
        return decisions.user.astype(np.int64) * (self._num_tasks + 1) + self._task[decisions.query] + 1


class Oracle:
    """The candidate of the highest reward, known only afterwards; an unknown reward comes last."""

    name = "oracle"

    def __init__(self, rewards_of: Callable[[DecisionArrays], np.ndarray]):
        self._rewards_of = rewards_of

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del train, validation

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        rewards = self._rewards_of(decisions)
        return np.where(np.isnan(rewards), -np.inf, rewards)


def _cell_means(rewards: np.ndarray, cell: np.ndarray, num_cells: int) -> np.ndarray:
    """Mean reward of each LLM in each cell: [decisions, llms] -> float64 [cells, llms], NaN where nothing is known."""
    return np.stack([metrics.group_means(column, cell, num_cells) for column in rewards.T], axis=1)


class SmoothedFavourite:
    """The user's mean reward of each LLM, smoothed towards the population's as if it were `strength` decisions."""

    name = "smoothed_favourite"

    def __init__(self, dataset: Dataset, strength: float = 8.0):
        self._num_users = len(dataset.data.users.ids)
        self._strength = strength

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del validation
        self._choices = are_choices(train)
        self._population = population_means(train.rewards)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return as_logits(self._own(history)[decisions.user], self._choices)

    def _own(self, history: Labelled) -> np.ndarray:
        return user_means(history, self._num_users, self._population, self._strength)


class SmoothedUserTask(SmoothedFavourite):
    """The user's mean on the task, smoothed towards its own overall mean plus what the task changes for everybody.

    Where the user has `count` decisions on the task, that prior counts for `task_strength` more; the
    population's mean on the task is smoothed towards its overall mean in the same way.
    """

    name = "smoothed_user_task"

    def __init__(self, dataset: Dataset, strength: float = 8.0, task_strength: float = 30.0):
        super().__init__(dataset, strength)
        self._task, self._num_tasks = dataset.data.queries.task, len(dataset.data.tasks.ids)
        self._task_strength = task_strength

    def fit(self, train: Labelled, validation: Labelled) -> None:
        super().fit(train, validation)
        total, count = group_sums(train.rewards, self._task_of(train.decisions), self._num_tasks + 1)
        self._by_task = smooth(total, count, self._population, self._task_strength)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        own = self._own(history)[:, None] + self._by_task - self._population
        total, count = group_sums(history.rewards, self._cell(history.decisions), own.shape[0] * own.shape[1])
        means = smooth(total, count, own.reshape(total.shape), self._task_strength)
        return as_logits(means[self._cell(decisions)], self._choices)

    def _cell(self, decisions: DecisionArrays) -> np.ndarray:
        return decisions.user.astype(np.int64) * (self._num_tasks + 1) + self._task_of(decisions)

    def _task_of(self, decisions: DecisionArrays) -> np.ndarray:
        """Task rows moved up by one: queries without a task are a task of their own."""
        return self._task[decisions.query] + 1
