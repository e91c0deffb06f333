"""Forecasts of rewards or outcomes of each query and LLM for all users: the base class, and ridge regression."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, outcome_matrices
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    column_means,
    group_sums,
    population_means,
    smooth,
    task_sums,
    user_means,
)
from prouter_jax.evaluation.baselines.features import kernel_task_features, query_features
from prouter_jax.evaluation.baselines.preference import estimate_preferences, has_outcomes, observed_outcomes

_TASK_STRENGTH = 10.0


class QueryForecast:
    """A forecast for each query and LLM that all users share, personalised by the user's history.

    Targets of the forecast are one of two kinds:

    * Choices, or rewards without outcomes: one target for each LLM, the population's mean reward of the answer.
      score = forecast + the user's mean - the population's mean of the LLM; for choices all three are log shares.
    * Rewards made of effects and costs: two targets for each LLM, effect and scaled cost.
      score = w * effect - (1 - w) * cost, with the weight w estimated from the user's history.

    Observations of the query itself (other users' decisions, outcomes) are averaged with the forecast. Subclasses
    implement `_fit_deviations` and `_predict_deviations`, which model deviations from each target's mean.

    Args:
      own_strength: number of decisions that the population's mean counts for beside the user's own mean.
      query_strength: number of decisions that the forecast counts for beside decisions on the query itself.
    """

    name: str
    _reads_outcomes = True

    def __init__(self, dataset: Dataset, own_strength: float = 8.0, query_strength: float = 10.0):
        self._dataset = dataset
        self._num_users, self._num_queries = len(dataset.data.users.ids), len(dataset.data.queries.ids)
        self._own_strength, self._query_strength = own_strength, query_strength
        self._effect, self._cost = observed_outcomes(dataset)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices = are_choices(train)
        self._population = population_means(train.rewards)
        self._by_outcomes = self._reads_outcomes and has_outcomes(self._dataset) and not self._choices
        self._total, self._count = total, count = self._observed(train)
        self._mean = column_means(total, count)
        seen = np.flatnonzero(count.any(1))
        reliability = count[seen] / (count[seen] + self._forecast_strength)
        means = total[seen] / np.maximum(count[seen], 1)
        self._fit_deviations(seen, np.where(count[seen] > 0, reliability * (means - self._mean), 0))

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        if self._by_outcomes:
            weight = estimate_preferences(history, self._effect, self._cost, self._num_users)
            return self.score_with_preferences(weight, decisions)
        forecast, row = self._forecast(decisions)
        own = user_means(history, self._num_users, self._population, self._own_strength)
        forecast, own, population = (as_logits(values, self._choices) for values in (forecast, own, self._population))
        return forecast[row] + (own - population)[decisions.user]

    def score_with_preferences(
        self, weight: Float[np.ndarray, " users"], decisions: DecisionArrays
    ) -> Float[np.ndarray, "decisions llms"]:
        """Scores w * effect - (1 - w) * cost from forecast outcomes and given weights of quality w."""
        forecast, row = self._forecast(decisions)
        effect, cost = np.split(forecast, 2, axis=1)
        weight = weight[decisions.user][:, None]
        return weight * effect[row] - (1 - weight) * cost[row]

    def _fit_deviations(self, seen: Int[np.ndarray, " seen"], deviation: Float[np.ndarray, "seen targets"]) -> None:
        """Fits the model to deviations from each target's mean, 0 where unobserved, on the query rows `seen`."""
        raise NotImplementedError

    def _predict_deviations(self, queries: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows targets"]:
        """Forecasts deviations from each target's mean for the given query rows."""
        raise NotImplementedError

    def _task_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Smoothed mean deviation of each target on the query's task, [queries, targets]; a start for models."""
        task, number = self._dataset.data.queries.task + 1, len(self._dataset.data.tasks.ids) + 1
        total, count = task_sums(np.where(self._count[seen] > 0, deviation, np.nan), task[seen], number)
        return smooth(total, count, np.zeros(deviation.shape[1]), _TASK_STRENGTH)[task]

    def _mask(self, seen: np.ndarray) -> np.ndarray:
        """Query rows as a mask, bool [queries]."""
        return np.isin(np.arange(self._num_queries), seen)

    def _forecast(self, decisions: DecisionArrays) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts of the distinct queries [distinct, targets], and the row of each decision's query in them."""
        queries, row = np.unique(decisions.query, return_inverse=True)
        return self._forecast_of(queries), row

    def _forecast_of(self, queries: np.ndarray) -> np.ndarray:
        """Forecasts of query rows, averaged with the observations of the queries themselves; [rows, targets]."""
        forecast = self._mean + self._predict_deviations(queries)
        return smooth(self._total[queries], self._count[queries], forecast, self._forecast_strength)

    @property
    def _forecast_strength(self) -> float:
        """Number of observations that the forecast counts for; observed outcomes replace it."""
        return 1e-9 if self._by_outcomes else self._query_strength

    def _observed(self, train: Labelled) -> tuple[np.ndarray, np.ndarray]:
        """Sum and number of the observations of each query's targets, [queries, targets] each."""
        if self._by_outcomes:
            table = np.concatenate([self._effect, self._cost], axis=1)
            return np.nan_to_num(table).astype(np.float64), (~np.isnan(table)).astype(np.float64)
        return group_sums(train.rewards, train.decisions.query, self._num_queries)


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
        return kernel_task_features(self._dataset, seen, self._text_weight, self._width, self._landmarks)


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
      targets: targets of the seen queries; a missing one (NaN) counts as the mean of its column.
      penalties: of the squared coefficients.
    """
    from sklearn import linear_model  # about a second of CPU time

    means = np.array([np.nan_to_num(metrics.mean(column)) for column in targets.T])
    filled = np.where(np.isnan(targets), means, targets)
    return [linear_model.Ridge(alpha).fit(features[seen], filled).predict(features) for alpha in penalties]
