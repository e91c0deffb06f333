"""What each LLM's answer to a query is worth to everybody, and what a user makes of it."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.policies.means import are_choices, as_logits, group_sums, population_means, smooth, user_means
from prouter_jax.policies.preference import estimate_preferences, seen_outcomes, task_sums
from prouter_jax.prepare import Labelled, Prepared

_TASK_STRENGTH = 10.0


class QueryForecast:
    """A forecast for each query and LLM that all users share, joined with what the user's history tells.

    Where rewards are choices, or outcomes are unknown: forecast is the population's mean reward of the
    answer, and score = forecast + the user's own mean - the population's mean of the LLM; for choices
    all three are logarithms of shares.
    Where effects and costs stand behind the rewards: they are forecast, and
    score = w * effect - (1 - w) * cost with the weight w that the user's history tells.
    What was observed of a query itself (others' decisions on it; its outcomes) goes before the forecast.

    Args:
      own_strength: for how many decisions the population counts beside the user's own mean.
      query_strength: for how many decisions the forecast counts beside others' on the query itself.
    """

    name: str

    def __init__(self, prepared: Prepared, own_strength: float = 8.0, query_strength: float = 10.0):
        self._prepared = prepared
        self._num_users, self._num_queries = len(prepared.data.users.ids), len(prepared.data.queries.ids)
        self._own_strength, self._query_strength = own_strength, query_strength
        self._effect, self._cost = seen_outcomes(prepared)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices = are_choices(train)
        self._population = population_means(train.rewards)
        self._weighed = has_outcomes(self._prepared) and not self._choices
        total, count = self._observed(train)
        self._middle = _middle(total, count)
        self._total, self._count, seen = total, count, np.flatnonzero(count.any(1))
        reliable = count[seen] / (count[seen] + self._pull)
        mean = total[seen] / np.maximum(count[seen], 1)
        self._learn(seen, np.where(count[seen] > 0, reliable * (mean - self._middle), 0), validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        if self._weighed:
            weight = estimate_preferences(history, self._effect, self._cost, self._num_users)
            return self.score_weighed(weight, decisions)
        forecast, row = self._forecast(decisions)
        own = user_means(history, self._num_users, self._population, self._own_strength)
        forecast, own, population = (as_logits(values, self._choices) for values in (forecast, own, self._population))
        return forecast[row] + (own - population)[decisions.user]

    def score_weighed(self, weight: np.ndarray, decisions: DecisionArrays) -> np.ndarray:
        """Forecasts of effect and cost weighed by the users' preferences [users]."""
        forecast, row = self._forecast(decisions)
        effect, cost = np.split(forecast, 2, axis=1)
        weight = weight[decisions.user][:, None]
        return weight * effect[row] - (1 - weight) * cost[row]

    def _forecast(self, decisions: DecisionArrays) -> tuple[np.ndarray, np.ndarray]:
        """[asked queries, targets], and each decision's place among the asked queries."""
        asked, row = np.unique(decisions.query, return_inverse=True)
        forecast = self._middle + self._deviation(asked)
        return smooth(self._total[asked], self._count[asked], forecast, self._pull), row

    def _learn(self, seen: np.ndarray, deviation: np.ndarray, validation: Labelled) -> None:
        """Learns from deviations from the LLM's mean [seen, targets], 0 where unknown, of the seen queries' rows."""
        raise NotImplementedError

    def _deviation(self, asked: np.ndarray) -> np.ndarray:
        """Forecasts [asked, targets] for the asked queries' rows."""
        raise NotImplementedError

    def _task_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Smoothed mean deviation of each target on the query's task, [queries, targets]: where learners may start."""
        task, number = self._prepared.data.queries.task + 1, len(self._prepared.data.tasks.ids) + 1
        total, count = task_sums(np.where(self._count[seen] > 0, deviation, np.nan), task[seen], number)
        return smooth(total, count, np.zeros(deviation.shape[1]), _TASK_STRENGTH)[task]

    @property
    def _pull(self) -> float:
        return 1e-9 if self._weighed else self._query_strength

    def _observed(self, train: Labelled) -> tuple[np.ndarray, np.ndarray]:
        """Sum and number of what is known of each query's targets, [queries, targets] each."""
        if self._weighed:
            table = np.concatenate([self._effect, self._cost], axis=1)
            return np.nan_to_num(table).astype(np.float64), (~np.isnan(table)).astype(np.float64)
        return group_sums(train.rewards, train.decisions.query, self._num_queries)


def has_outcomes(prepared: Prepared) -> bool:
    """Whether effects and costs are known, of some answers at least."""
    outcomes = prepared.world.interactions.outcomes
    return not np.isnan(outcomes.effect).all() and not np.isnan(outcomes.cost).all()


def _middle(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean of each target; one that nobody observed takes the mean of all."""
    average = total.sum() / max(count.sum(), 1)
    return smooth(total.sum(0), count.sum(0), np.full(total.shape[1], average), 1.0)
