"""Baselines from mean rewards and with fixed scores, and all baselines without hyperparameters (`make_policies`)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, build_rewards
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    Policy,
    are_choices,
    as_logits,
    group_sums,
    population_means,
    smooth,
    user_means,
)
from prouter_jax.evaluation.baselines.forecast import RidgeTruePreference


class FixedScores:
    """A policy without training, such as random scores, constant scores or true rewards (the oracle).

    Args:
      scores_of: returns scores of decisions that broadcast to [decisions, llms]; NaN comes last.
    """

    def __init__(self, name: str, scores_of: Callable[[DecisionArrays], np.ndarray]):
        self.name, self._scores_of = name, scores_of

    def fit(self, train: Labelled, validation: Labelled) -> None:
        """Does nothing."""

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        scores = self._scores_of(decisions)
        return np.broadcast_to(np.where(np.isnan(scores), -np.inf, scores), decisions.offered.shape)


class BestSingle:
    """The LLM with the highest mean training reward over all users."""

    name = "best_single"

    def fit(self, train: Labelled, validation: Labelled) -> None:
        overall = _cell_means(train.rewards, np.zeros(len(train.rewards), int), 1)[0]
        # an LLM without training rewards counts as an average one
        self._overall = np.where(np.isnan(overall), np.nan_to_num(metrics.mean(train.rewards)), overall)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return np.broadcast_to(self._overall, decisions.offered.shape)


class BestPerUser(BestSingle):
    """The LLM with the highest mean reward in the user's history; LLMs without rewards there get the overall mean."""

    name = "best_per_user"

    def __init__(self, num_users: int):
        self._num_users = num_users

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        own = _cell_means(history.rewards, history.decisions.user, self._num_users)[decisions.user]
        return np.where(np.isnan(own), self._overall, own)


class BestPerUserTask(BestPerUser):
    """The LLM with the highest mean reward in the user's history on the task; without rewards there, as `BestPerUser`.

    Args:
      task: task row of each query; -1 (no task) counts as one more task.
    """

    name = "best_per_user_task"

    def __init__(self, num_users: int, task: Int[np.ndarray, " queries"], num_tasks: int):
        super().__init__(num_users)
        self._task, self._num_tasks = task + 1, num_tasks + 1

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        cells = self._num_users * self._num_tasks
        means = _cell_means(history.rewards, self._cell(history.decisions), cells)[self._cell(decisions)]
        return np.where(np.isnan(means), super().score(history, decisions), means)

    def _cell(self, decisions: DecisionArrays) -> np.ndarray:
        return decisions.user.astype(np.int64) * self._num_tasks + self._task[decisions.query]


class SmoothedFavourite:
    """The user's mean reward of each LLM, smoothed towards the population's mean.

    Args:
      strength: number of decisions that the population's mean counts for.
    """

    name = "smoothed_favourite"

    def __init__(self, dataset: Dataset, strength: float = 8.0):
        self._num_users = len(dataset.data.users.ids)
        self._strength = strength

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices = are_choices(train)
        self._population = population_means(train.rewards)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return as_logits(self._user_means(history)[decisions.user], self._choices)

    def _user_means(self, history: Labelled) -> np.ndarray:
        return user_means(history, self._num_users, self._population, self._strength)


class SmoothedUserTask(SmoothedFavourite):
    """The user's mean reward of each LLM on the task, smoothed towards user mean + task mean - population mean.

    Args:
      strength: number of decisions that the population's mean counts for beside the user's mean.
      task_strength: number of decisions on the task that the prior counts for; also for the task's mean over all users,
        whose prior is the population's mean.
    """

    name = "smoothed_user_task"

    def __init__(self, dataset: Dataset, strength: float = 8.0, task_strength: float = 30.0):
        super().__init__(dataset, strength)
        # queries without a task (-1) count as one more task
        self._task, self._num_tasks = dataset.data.queries.task + 1, len(dataset.data.tasks.ids) + 1
        self._task_strength = task_strength

    def fit(self, train: Labelled, validation: Labelled) -> None:
        super().fit(train, validation)
        total, count = group_sums(train.rewards, self._task[train.decisions.query], self._num_tasks)
        self._by_task = smooth(total, count, self._population, self._task_strength)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        prior = self._user_means(history)[:, None] + self._by_task - self._population
        total, count = group_sums(history.rewards, self._cell(history.decisions), prior.shape[0] * prior.shape[1])
        means = smooth(total, count, prior.reshape(total.shape), self._task_strength)
        return as_logits(means[self._cell(decisions)], self._choices)

    def _cell(self, decisions: DecisionArrays) -> np.ndarray:
        return decisions.user.astype(np.int64) * self._num_tasks + self._task[decisions.query]


def make_policies(dataset: Dataset) -> dict[str, Policy]:
    """Baselines without hyperparameters that apply to the dataset, by name; some need effects, costs or preferences."""
    seen, data = dataset.world.interactions, dataset.data
    effect, cost = (_llm_means(values, dataset) for values in (seen.outcomes.effect, seen.outcomes.cost))
    policies: list[Policy] = [FixedScores("random", lambda d: np.random.default_rng(0).random(d.offered.shape))]
    policies += [BestSingle(), BestPerUser(len(data.users.ids))]
    policies.append(BestPerUserTask(len(data.users.ids), data.queries.task, len(data.tasks.ids)))
    if not np.isnan(cost).all():
        policies.append(FixedScores("cheapest", lambda decisions: -cost))
    if not np.isnan(effect).all():
        policies.append(FixedScores("strongest", lambda decisions: effect))
    if not np.isnan(effect).all() and not np.isnan(cost).all() and not np.isnan(data.users.preference).any():
        policies.append(RidgeTruePreference(dataset))
    policies.append(FixedScores("oracle", lambda decisions: build_rewards(data, dataset.truth_scale, decisions)))
    return {policy.name: policy for policy in policies}


def _cell_means(rewards: np.ndarray, cell: np.ndarray, num_cells: int) -> np.ndarray:
    """Mean reward of each LLM in each cell, float64 [cells, llms], NaN for cells without rewards."""
    return np.stack([metrics.group_means(column, cell, num_cells) for column in rewards.T], axis=1)


def _llm_means(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Mean of a column of the training outcomes for each LLM, float64 [llms]."""
    seen = dataset.world.interactions
    return metrics.group_means(values, seen.outcomes.llm, len(seen.llms.ids))
