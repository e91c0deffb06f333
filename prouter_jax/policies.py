"""Policies to compare the router with, all under one interface and measured by the same lines.

A policy sees rewards of training and validation decisions in `fit`; `score` then scores other
decisions, given the users' histories. What else a policy may know it gets by its constructor.
"""

import typing
from collections.abc import Callable

import numpy as np

from prouter_jax import metrics
from prouter_jax.decisions import DecisionArrays, build_rewards
from prouter_jax.prepare import Labelled, Prepared
from prouter_jax.ridge import RidgeTruePreference


class Policy(typing.Protocol):
    """What scores the candidates of decisions."""

    name: str

    def fit(self, train: Labelled, validation: Labelled) -> None:
        """Learns from rewards."""
        ...

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        """float [decisions, llms]; never NaN for a candidate.

        Args:
          history: what the users of `decisions` did before, as far as it is known.
        """
        ...


def make_policies(prepared: Prepared) -> dict[str, Policy]:
    """The policies that apply to the data, by name: without costs there is no cheapest LLM, and so on."""
    seen, data = prepared.world.interactions, prepared.data
    task = data.queries.task
    effect, cost = (_llm_means(values, prepared) for values in (seen.outcomes.effect, seen.outcomes.cost))
    policies: list[Policy] = [Random(), BestSingle(), BestPerUser(len(data.users.ids))]
    policies.append(BestPerUserTask(len(data.users.ids), task, len(data.tasks.ids)))
    if not np.isnan(cost).all():
        policies.append(SameForAll("cheapest", -cost))
    if not np.isnan(effect).all():
        policies.append(SameForAll("strongest", effect))
    if not np.isnan(effect).all() and not np.isnan(cost).all() and not np.isnan(data.users.preference).any():
        policies.append(RidgeTruePreference(prepared))
    policies.append(Oracle(lambda decisions: build_rewards(data, prepared.world.scale, decisions)))
    return {policy.name: policy for policy in policies}


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


def _llm_means(values: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Mean of a column of the training outcomes for each LLM, float64 [llms]."""
    seen = prepared.world.interactions
    return metrics.group_means(values, seen.outcomes.llm, len(seen.llms.ids))
