"""Policies that need nothing but means of rewards, and the two ends of the scale: chance and the oracle."""

from collections.abc import Callable

import numpy as np

from prouter_jax import metrics
from prouter_jax.decisions import DecisionArrays
from prouter_jax.prepare import Labelled


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
