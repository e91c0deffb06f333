"""Ridge-regression baselines on text and task, in the space of text vectors or of a text kernel."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, outcome_matrices
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.features import kernel_features, query_features, task_columns
from prouter_jax.evaluation.baselines.forecast import QueryForecast


class Ridge(QueryForecast):
    """Ridge regression of the forecast on text vector and task.

    Args:
      penalty: of the squared coefficients.
      text_weight: scale of the text vector (length about 1) beside the one-hot task.
      strengths: `own_strength` and `query_strength` of `QueryForecast`.
    """

    name = "ridge"

    def __init__(self, dataset: Dataset, penalty: float = 10.0, text_weight: float = 1.0, **strengths: float):
        super().__init__(dataset, **strengths)
        self._penalty, self._text_weight = penalty, text_weight

    def _fit_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> None:
        mask = self._mask(seen)
        (self._table,) = ridge_forecasts(self._features(mask), mask, deviation, [self._penalty])

    def _predict_deviations(self, queries: np.ndarray) -> np.ndarray:
        return self._table[queries]

    def _features(self, seen: np.ndarray) -> np.ndarray:
        """Features [queries, features], given the mask of the queries with observations."""
        return query_features(self._dataset, self._text_weight)


class KernelRidge(Ridge):
    """Ridge regression on the task and on features of the text kernel exp((cosine - 1) / width^2).

    Args:
      penalty, text_weight, strengths: see `Ridge`.
      width, landmarks: see `features.kernel_features`.
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
        kernel = kernel_features(self._dataset.vectors.query, seen, self._width, self._landmarks)
        return np.concatenate([self._text_weight * kernel, task_columns(self._dataset)], axis=1)


class RidgeTruePreference:
    """Ridge forecast of effect and scaled cost from text and task, combined by every user's true preference.

    The penalty is the one with the best validation reward. Outcomes missing in training count as their LLM's mean.
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
        forecasts = ridge_forecasts(self._features, self._seen, self._outcomes, self.penalties)
        rewards = [self._reward(forecast, validation) for forecast in forecasts]
        self._forecast = forecasts[int(np.argmax(rewards))]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._scores(self._forecast, decisions)

    def _reward(self, forecast: np.ndarray, labelled: Labelled) -> float:
        selected = metrics.choose(self._scores(forecast, labelled.decisions), labelled.decisions.offered)
        return np.nan_to_num(metrics.mean(metrics.values_of_selected(labelled.rewards, selected)))

    def _scores(self, forecast: np.ndarray, decisions: DecisionArrays) -> np.ndarray:
        weight = self._weight[decisions.user][:, None]
        effect, cost = np.split(forecast, 2, axis=1)
        return weight * effect[decisions.query] - (1 - weight) * cost[decisions.query]


def ridge_forecasts(
    features: Float[np.ndarray, "queries features"],
    seen: Bool[np.ndarray, " queries"],
    targets: Float[np.ndarray, "seen targets"],
    penalties: Sequence[float] | np.ndarray,
) -> list[Float[np.ndarray, "queries targets"]]:
    """Ridge regression with an unpenalised intercept: the forecast of every query, for each penalty.

    Args:
      features: features of all queries.
      seen: queries to fit on.
      targets: targets of the seen queries; a missing one (NaN) counts as the mean of its column.
      penalties: of the squared coefficients.
    """
    from sklearn import linear_model  # about a second of CPU time

    means = np.array([np.nan_to_num(metrics.mean(column)) for column in targets.T])
    filled = np.where(np.isnan(targets), means, targets)
    return [linear_model.Ridge(alpha).fit(features[seen], filled).predict(features) for alpha in penalties]
