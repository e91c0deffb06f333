"""A user's favourite, trusted as far as its history is long."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.policies.means import are_choices, as_logits, group_sums, population_means, smooth, user_means
from prouter_jax.prepare import Labelled, Prepared


class SmoothedFavourite:
    """The user's mean reward of each LLM, smoothed towards the population's as if it were `strength` decisions."""

    name = "smoothed_favourite"

    def __init__(self, prepared: Prepared, strength: float = 8.0):
        self._num_users = len(prepared.data.users.ids)
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

    def __init__(self, prepared: Prepared, strength: float = 8.0, task_strength: float = 30.0):
        super().__init__(prepared, strength)
        self._task, self._num_tasks = prepared.data.queries.task, len(prepared.data.tasks.ids)
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
