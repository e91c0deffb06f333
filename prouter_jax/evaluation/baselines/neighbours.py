"""Nearest-neighbour baselines: rewards on queries with similar texts, of all users or of the same user."""

import numpy as np
from jaxtyping import Int
from scipy import sparse

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import as_logits, smooth
from prouter_jax.evaluation.baselines.features import unit_vectors
from prouter_jax.evaluation.baselines.forecast import QueryForecast
from prouter_jax.evaluation.baselines.simple import SmoothedFavourite

_BLOCK = 2048


class Neighbours(QueryForecast):
    """Forecast of a query: `trust` times the weighted mean over its nearest seen queries, see `nearest`.

    Args:
      number, sharpness, task_bonus: see `nearest`.
      trust: factor in [0, 1] of the neighbours' mean deviation.
      strengths: `own_strength` and `query_strength` of `QueryForecast`.
    """

    name = "neighbours"

    def __init__(
        self,
        dataset: Dataset,
        number: int = 30,
        sharpness: float = 5.0,
        task_bonus: float = 0.3,
        trust: float = 0.7,
        **strengths: float,
    ):
        super().__init__(dataset, **strengths)
        self._trust, self._neighbourhood = trust, (number, sharpness, task_bonus)

    def _fit_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> None:
        self._seen = seen
        self._deviations = np.zeros((self._num_queries, deviation.shape[1]))
        self._deviations[seen] = deviation

    def _predict_deviations(self, queries: np.ndarray) -> np.ndarray:
        weights = nearest(self._dataset, queries, self._seen, *self._neighbourhood)
        return self._trust * np.asarray(weights @ self._deviations)


class NeighboursPerUser(SmoothedFavourite):
    """The user's own mean reward on the query's nearest neighbours, smoothed towards the user's overall mean.

    Args:
      strength: number of decisions that the population's mean counts for beside the user's overall mean.
      near_strength: number of decisions on the nearest query that the user's overall mean counts for. A decision on
        another neighbour counts by its weight relative to the nearest.
      number, sharpness, task_bonus: see `nearest`.
    """

    name = "neighbours_per_user"

    def __init__(
        self,
        dataset: Dataset,
        strength: float = 8.0,
        near_strength: float = 10.0,
        number: int = 50,
        sharpness: float = 5.0,
        task_bonus: float = 0.3,
    ):
        super().__init__(dataset, strength)
        self._dataset, self._near_strength = dataset, near_strength
        self._neighbourhood = (number, sharpness, task_bonus)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        # weighted sum and number of the user's rewards near each decision's query, [decisions, llms] each
        queries, row = np.unique(decisions.query, return_inverse=True)
        near = nearest(self._dataset, queries, np.unique(history.decisions.query), *self._neighbourhood)
        near = near.multiply(1 / np.maximum(near.max(1).toarray(), 1e-300)).tocsr()
        shape = (near.shape[1], self._num_users)
        cell = np.ravel_multi_index((history.decisions.query, history.decisions.user), shape)
        total, count = np.empty(decisions.offered.shape), np.empty(decisions.offered.shape)
        for llm, rewards in enumerate(history.rewards.T):
            observed = ~np.isnan(rewards)
            for result, weight in ((total, rewards[observed]), (count, None)):
                table = np.bincount(cell[observed], weight, shape[0] * shape[1]).reshape(shape)
                result[:, llm] = (near @ table)[row, decisions.user]
        means = smooth(total, count, self._user_means(history)[decisions.user], self._near_strength)
        return as_logits(means, self._choices)


def nearest(
    dataset: Dataset,
    queries: Int[np.ndarray, " rows"],
    seen: Int[np.ndarray, " seen"],
    number: int,
    sharpness: float,
    task_bonus: float,
) -> sparse.csr_matrix:
    """Weights of each query's nearest seen queries, without itself.

    weight = softmax(sharpness * (cosine + task_bonus where the task is the same)) over the `number` nearest.

    Args:
      dataset: has the text vectors and tasks.
      queries: query rows to find neighbours of.
      seen: query rows that may be neighbours.
      task_bonus: added to the cosine of queries with the same task.

    Returns:
      Sparse matrix [rows, queries of the dataset]; rows sum to 1.
    """
    number = min(number, len(seen))
    columns, weights = [np.zeros((0, number), int)], [np.zeros((0, number))]
    unit, task = unit_vectors(dataset.vectors.query), dataset.data.queries.task
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        closeness = unit[rows] @ unit[seen].T + task_bonus * (task[rows, None] == task[seen])
        closeness[rows[:, None] == seen] = -np.inf
        neighbour, weight = _top_softmax(closeness, number, sharpness)
        columns.append(seen[neighbour])
        weights.append(weight)
    ends = np.arange(len(queries) + 1) * number
    shape = (len(queries), len(unit))
    return sparse.csr_matrix((np.concatenate(weights).ravel(), np.concatenate(columns).ravel(), ends), shape=shape)


def _top_softmax(closeness: np.ndarray, number: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the `number` largest entries of each row and the softmax over them, [rows, number] each."""
    size = closeness.shape[1]
    column = np.broadcast_to(np.arange(size), closeness.shape)
    if number < size:
        column = np.argpartition(closeness, -number, axis=1)[:, size - number :]
    logits = sharpness * np.take_along_axis(closeness, column, 1).astype(np.float64)
    logits -= np.where(np.isfinite(logits), logits, -1e9).max(1, keepdims=True)
    weight = np.exp(logits)
    return column, weight / np.maximum(weight.sum(1, keepdims=True), 1e-300)
