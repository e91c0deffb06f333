"""How users weigh quality against cost, told by their histories alone, and the policy that needs no more."""

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, outcome_matrices
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    first_decisions,
    group_sums,
    population_means,
    smooth,
    user_means,
)

_GRID = np.linspace(0, 1, 41)
_LONGEST = 200  # decisions of a user that are looked at: enough to know its weight
_BLOCK = 1 << 16


def seen_outcomes(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Effect and scaled cost of what the world holds, float32 [queries of the data, llms] each, NaN elsewhere."""
    tables = outcome_matrices(dataset.world.interactions, dataset.world.scale)
    seen = dataset.world_query >= 0
    found = [np.full((len(seen), table.shape[1]), np.nan, np.float32) for table in tables]
    for table, known in zip(found, tables, strict=True):
        table[seen] = known[dataset.world_query[seen]]
    return found[0], found[1]


def estimate_preferences(
    history: Labelled, effect: np.ndarray, cost: np.ndarray, num_users: int, sharpness: float = 30.0
) -> np.ndarray:
    """Each user's weight w of quality, float64 [users]; the mean of the others where its history tells nothing.

    Rewards r = w e - (1 - w) c tell it by least squares of r + c on e + c; choices by the mean of the
    posterior with the probability softmax(sharpness * (w e - (1 - w) c)) of a choice, on a grid, its
    prior what all users together make likely.

    Args:
      effect, cost: [queries, llms], as `seen_outcomes` gives them.
    """
    history = first_decisions(history, _LONGEST)
    if are_choices(history):
        return _from_choices(history, effect, cost, num_users, sharpness)
    upper, lower = np.zeros(num_users), np.zeros(num_users)
    for start in range(0, len(history.rewards), _BLOCK):
        rows = slice(start, start + _BLOCK)
        user, query = history.decisions.user[rows], history.decisions.query[rows]
        slope, rise = effect[query] + cost[query], history.rewards[rows] + cost[query]
        upper += np.bincount(user, np.nansum(slope * rise, 1), num_users)
        lower += np.bincount(user, np.nansum(np.where(np.isnan(rise), np.nan, slope**2), 1), num_users)
    weight = np.where(lower > 0, upper / np.where(lower > 0, lower, 1), np.nan)
    return np.clip(np.where(np.isnan(weight), _or(metrics.mean(weight), 0.5), weight), 0, 1)


class InferredPreference:
    """Each LLM's mean effect and scaled cost on the task, weighed by the user's preference as its history tells it.

    Args:
      task_strength: for how many answers the LLM's overall mean counts beside those to the task.
      sharpness: how surely users choose what is worth most to them; for choices.
    """

    name = "inferred_preference"

    def __init__(self, dataset: Dataset, task_strength: float = 10.0, sharpness: float = 30.0):
        self._num_users = len(dataset.data.users.ids)
        self._effect, self._cost = seen_outcomes(dataset)
        self._task, self._num_tasks = dataset.data.queries.task + 1, len(dataset.data.tasks.ids) + 1
        self._strength, self._sharpness = task_strength, sharpness

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del validation
        self._choices = are_choices(train)
        self._forecast = [self._by_task(table) for table in (self._effect, self._cost)]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        weight = estimate_preferences(history, self._effect, self._cost, self._num_users, self._sharpness)
        weight = weight[decisions.user][:, None]
        effect, cost = (table[decisions.query] for table in self._forecast)
        return (weight * effect - (1 - weight) * cost) * (self._sharpness if self._choices else 1)

    def _by_task(self, table: np.ndarray) -> np.ndarray:
        """What is known of an answer, else its LLM's smoothed mean on the task; [queries, llms]."""
        total, count = task_sums(table, self._task, self._num_tasks)
        overall = smooth(total.sum(0), count.sum(0), np.full(table.shape[1], _or(metrics.mean(table), 0.0)), 1.0)
        means = smooth(total, count, overall, self._strength)[self._task]
        return np.where(np.isnan(table), means, table)


def task_sums(table: np.ndarray, task: np.ndarray, num_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known entries of a table [queries, columns] on each task, float64 [tasks, columns]."""
    member = (task == np.arange(num_tasks)[:, None]).astype(np.float64)
    return member @ np.nan_to_num(table), member @ ~np.isnan(table)


def _from_choices(history: Labelled, effect, cost, num_users: int, sharpness: float) -> np.ndarray:
    """Posterior means on the grid, the prior by a few rounds of expectation and maximisation."""
    query, user = history.decisions.query, history.decisions.user
    worth = [np.nan_to_num(table[query]) for table in (effect, cost)]
    known = history.decisions.offered & ~np.isnan(effect[query] + cost[query]) & ~np.isnan(history.rewards)
    share = np.where(known, history.rewards, 0)
    likely = np.zeros((num_users, len(_GRID)))
    for column, w in enumerate(_GRID):
        logits = np.where(known, sharpness * (w * worth[0] - (1 - w) * worth[1]), -np.inf)
        top = np.where(known.any(1), logits.max(1), 0)
        total = np.log(np.maximum(np.exp(logits - top[:, None]).sum(1), 1e-30)) + top
        told = (share * np.where(known, logits - total[:, None], 0)).sum(1)
        likely[:, column] = np.bincount(user, told, num_users)
    likely = np.exp(likely - likely.max(1, keepdims=True))
    prior = np.full(len(_GRID), 1 / len(_GRID))
    for _ in range(20):
        posterior = likely * prior / (likely @ prior)[:, None]
        prior = 0.9 * posterior.mean(0) + 0.1 / len(_GRID)
    return (likely * prior) @ _GRID / (likely @ prior)


def _or(value: float, other: float) -> float:
    return other if np.isnan(value) else value


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

    def __init__(self, dataset: Dataset, own_strength: float = 8.0, query_strength: float = 10.0):
        self._prepared = dataset
        self._num_users, self._num_queries = len(dataset.data.users.ids), len(dataset.data.queries.ids)
        self._own_strength, self._query_strength = own_strength, query_strength
        self._effect, self._cost = seen_outcomes(dataset)

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


def has_outcomes(dataset: Dataset) -> bool:
    """Whether effects and costs are known, of some answers at least."""
    outcomes = dataset.world.interactions.outcomes
    return not np.isnan(outcomes.effect).all() and not np.isnan(outcomes.cost).all()


def _middle(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean of each target; one that nobody observed takes the mean of all."""
    average = total.sum() / max(count.sum(), 1)
    return smooth(total.sum(0), count.sum(0), np.full(total.shape[1], average), 1.0)
