"""Nearest neighbours: what was good for similar queries, for everybody or for the user alone."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.policies.forecast import QueryForecast
from prouter_jax.policies.means import as_logits, smooth
from prouter_jax.policies.smoothed import SmoothedFavourite
from prouter_jax.policies.texts import nearest
from prouter_jax.prepare import Labelled, Prepared


class Neighbours(QueryForecast):
    """The forecast of a query is the mean over its nearest seen ones, trusted by the factor `trust`.

    weight = softmax(sharpness * (cosine + task_bonus where the task is the same)) over `number` queries.
    """

    name = "neighbours"

    def __init__(
        self,
        prepared: Prepared,
        number: int = 30,
        sharpness: float = 5.0,
        task_bonus: float = 0.3,
        trust: float = 0.7,
        **strengths: float,
    ):
        super().__init__(prepared, **strengths)
        self._trust = trust
        self._near = (number, sharpness, task_bonus)

    def _learn(self, seen: np.ndarray, deviation: np.ndarray, validation: Labelled) -> None:
        del validation
        self._seen = seen
        self._deviations = np.zeros((self._num_queries, deviation.shape[1]))
        self._deviations[seen] = deviation

    def _deviation(self, asked: np.ndarray) -> np.ndarray:
        return self._trust * np.asarray(nearest(self._prepared, asked, self._seen, *self._near) @ self._deviations)


class NeighboursPerUser(SmoothedFavourite):
    """The user's mean reward on the query's nearest ones, smoothed towards the user's overall mean.

    A decision on a neighbour counts by its weight, at most 1 (the nearest); `near_strength` is for how many of them
    the user's overall mean counts, itself smoothed towards the population by `strength`.
    """

    name = "neighbours_per_user"

    def __init__(
        self,
        prepared: Prepared,
        strength: float = 8.0,
        near_strength: float = 10.0,
        number: int = 50,
        sharpness: float = 5.0,
        task_bonus: float = 0.3,
    ):
        super().__init__(prepared, strength)
        self._prepared, self._near_strength = prepared, near_strength
        self._near = (number, sharpness, task_bonus)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        total, count = self._sums_nearby(history, decisions)
        means = smooth(total, count, self._own(history)[decisions.user], self._near_strength)
        return as_logits(means, self._choices)

    def _sums_nearby(self, history: Labelled, decisions: DecisionArrays) -> tuple[np.ndarray, np.ndarray]:
        """Weighted sum and number of the user's rewards near each decision's query, [decisions, llms] each."""
        asked, row = np.unique(decisions.query, return_inverse=True)
        near = nearest(self._prepared, asked, np.unique(history.decisions.query), *self._near)
        near = near.multiply(1 / np.maximum(near.max(1).toarray(), 1e-300)).tocsr()
        shape = (near.shape[1], self._num_users)
        cell = np.ravel_multi_index((history.decisions.query, history.decisions.user), shape)
        total, count = np.empty(decisions.offered.shape), np.empty(decisions.offered.shape)
        for llm, rewards in enumerate(history.rewards.T):
            known = ~np.isnan(rewards)
            for result, weight in ((total, rewards[known]), (count, None)):
                table = np.bincount(cell[known], weight, shape[0] * shape[1]).reshape(shape)
                result[:, llm] = (near @ table)[row, decisions.user]
        return total, count
