"""Linear forecasts from texts and tasks, and from kernels of texts."""

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, outcome_matrices
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.features import kernel_features, query_features, task_columns
from prouter_jax.evaluation.baselines.forecast import QueryForecast


class Ridge(QueryForecast):
    """Ridge regression of the forecast on text vector and task.

    Args:
      penalty: of the squared coefficients.
      text_weight: of the text vector (about length 1) beside the task's column of ones.
    """

    name = "ridge"

    def __init__(self, dataset: Dataset, penalty: float = 10.0, text_weight: float = 1.0, **strengths: float):
        super().__init__(dataset, **strengths)
        self._penalty, self._text_weight = penalty, text_weight

    def _learn(self, seen: np.ndarray, deviation: np.ndarray, validation: Labelled) -> None:
        del validation
        features, known = self._features(seen), np.zeros(self._num_queries, bool)
        known[seen] = True
        (self._table,) = ridge_forecasts(features, known, deviation, [self._penalty])

    def _deviation(self, asked: np.ndarray) -> np.ndarray:
        return self._table[asked]

    def _features(self, seen: np.ndarray) -> np.ndarray:
        del seen
        return query_features(self._prepared, self._text_weight)


class KernelRidge(Ridge):
    """Ridge regression in the space of a kernel of texts, exp((cosine - 1) / width^2), beside the task.

    Exact up to `landmarks` queries, beyond that by as many of them (Nystroem).
    """

    name = "kernel_ridge"

    def __init__(
        self,
        dataset: Dataset,
        penalty: float = 3.0,
        text_weight: float = 1.0,
        width: float = 0.7,
        landmarks: int = 600,
        **strengths: float,
    ):
        super().__init__(dataset, penalty, text_weight, **strengths)
        self._width, self._landmarks = width, landmarks

    def _features(self, seen: np.ndarray) -> np.ndarray:
        known = np.zeros(self._num_queries, bool)
        known[seen] = True
        near = kernel_features(self._prepared.vectors.query, known, self._width, self._landmarks)
        return np.concatenate([self._text_weight * near, task_columns(self._prepared)], axis=1)


class RidgeTruePreference:
    """A linear forecast of effect and scaled cost, weighed by every user's true preference.

    Features of a query are its text vector and its task; the penalty is the one of the best
    validation reward. Outcomes missing in training count as their LLM's mean.
    """

    name = "ridge_true_preference"
    penalties = 10.0 ** np.arange(5, -4, -1)  # the strongest first: it wins a tie

    def __init__(self, dataset: Dataset):
        self._weight = dataset.data.users.preference
        self._features = query_features(dataset)
        self._seen = dataset.world_query >= 0
        effect, cost = outcome_matrices(dataset.world.interactions, dataset.truth_scale)
        rows = dataset.world_query[self._seen]
        self._outcomes = np.concatenate([effect[rows], cost[rows]], axis=1).astype(np.float64)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del train
        forecasts = ridge_forecasts(self._features, self._seen, self._outcomes, self.penalties)
        rewards = [self._reward(forecast, validation) for forecast in forecasts]
        self._forecast = forecasts[int(np.argmax(rewards))]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return self._scores(self._forecast, decisions)

    def _reward(self, forecast: np.ndarray, labelled: Labelled) -> float:
        picked = metrics.choose(self._scores(forecast, labelled.decisions), labelled.decisions.offered)
        return np.nan_to_num(metrics.mean(metrics.values_of_selected(labelled.rewards, picked)))

    def _scores(self, forecast: np.ndarray, decisions: DecisionArrays) -> np.ndarray:
        weight = self._weight[decisions.user][:, None]
        effect, cost = np.split(forecast, 2, axis=1)
        return weight * effect[decisions.query] - (1 - weight) * cost[decisions.query]


def ridge_forecasts(features: np.ndarray, seen: np.ndarray, targets: np.ndarray, penalties) -> list[np.ndarray]:
    """Ridge regression for several penalties with one eigendecomposition; the intercept is not penalised.

    coefficients = V (S + penalty)^-1 V' X'Y, with X, Y centred and X'X = V S V'.

    Args:
      features: [queries, features]; seen: bool [queries], those to learn from.
      targets: [seen queries, targets], NaN where missing.

    Returns:
      For each penalty the targets of every query, [queries, targets].
    """
    middle = np.array([np.nan_to_num(metrics.mean(column)) for column in targets.T])
    residuals = np.where(np.isnan(targets), 0.0, targets - middle)
    centred = features - features[seen].mean(0)
    spectrum, basis = np.linalg.eigh(centred[seen].T @ centred[seen])
    projected, rotated = basis.T @ (centred[seen].T @ residuals), centred @ basis
    return [rotated @ (projected / (np.maximum(spectrum, 0) + p)[:, None]) + middle for p in penalties]
