"""Users' weights of quality against cost, estimated from their histories or known, and policies from task means.

A user with weight w values an answer at w * effect - (1 - w) * cost. Effect is the answer's quality and cost its
scaled price; both are in [0, 1].
"""

import numpy as np
from jaxtyping import Float

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays, outcome_matrices
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, first_decisions, smooth, task_sums

_GRID = np.linspace(0, 1, 41)
_MAX_HISTORY = 200  # decisions of a user that suffice to estimate its weight
_BLOCK = 1 << 16
_EM_STEPS = 20


def observed_outcomes(
    dataset: Dataset,
) -> tuple[Float[np.ndarray, "queries llms"], Float[np.ndarray, "queries llms"]]:
    """Effect and scaled cost of the answers in the training world, float32; NaN for all other answers."""
    tables = outcome_matrices(dataset.world.interactions, dataset.world.scale)
    seen = dataset.world_query >= 0
    found = [np.full((len(seen), table.shape[1]), np.nan, np.float32) for table in tables]
    for result, table in zip(found, tables, strict=True):
        result[seen] = table[dataset.world_query[seen]]
    return found[0], found[1]


def has_outcomes(dataset: Dataset) -> bool:
    """Whether the training world has at least one effect and one cost."""
    outcomes = dataset.world.interactions.outcomes
    return not np.isnan(outcomes.effect).all() and not np.isnan(outcomes.cost).all()


def estimate_preferences(
    history: Labelled,
    effect: Float[np.ndarray, "queries llms"],
    cost: Float[np.ndarray, "queries llms"],
    num_users: int,
    sharpness: float = 30.0,
) -> Float[np.ndarray, " users"]:
    """Each user's weight w of quality, float64 in [0, 1]; the mean of the others for users without usable history.

    From rewards r = w e - (1 - w) c: least squares of r + c on e + c. From choices: posterior mean on a grid with the
    likelihood softmax(sharpness * (w e - (1 - w) c)) and a prior that expectation-maximisation fits to all users.

    Args:
      effect: quality of each answer, NaN where unobserved.
      cost: scaled cost of each answer, NaN where unobserved.
      sharpness: inverse temperature of choices.
    """
    history = first_decisions(history, _MAX_HISTORY)
    if are_choices(history):
        # posterior mean of each user's weight on the grid; the prior comes from a few steps of EM
        likelihood = _grid_likelihood(history, effect, cost, num_users, sharpness)
        prior = np.full(len(_GRID), 1 / len(_GRID))
        for _ in range(_EM_STEPS):
            posterior = likelihood * prior / (likelihood @ prior)[:, None]
            prior = 0.9 * posterior.mean(0) + 0.1 / len(_GRID)
        return (likelihood * prior) @ _GRID / (likelihood @ prior)
    numerator, denominator = np.zeros(num_users), np.zeros(num_users)
    for start in range(0, len(history.rewards), _BLOCK):
        rows = slice(start, start + _BLOCK)
        user, query = history.decisions.user[rows], history.decisions.query[rows]
        x, y = effect[query] + cost[query], history.rewards[rows] + cost[query]
        numerator += np.bincount(user, np.nansum(x * y, 1), num_users)
        denominator += np.bincount(user, np.nansum(np.where(np.isnan(y), np.nan, x**2), 1), num_users)
    weight = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)
    return np.clip(np.where(np.isnan(weight), _or(metrics.mean(weight), 0.5), weight), 0, 1)


class InferredPreference:
    """Each LLM's mean effect and scaled cost on the task, combined by the user's estimated weight of quality.

    Args:
      task_strength: number of answers that the LLM's overall mean counts for beside its mean on the task.
      sharpness: inverse temperature of choices.
    """

    name = "inferred_preference"

    def __init__(self, dataset: Dataset, task_strength: float = 10.0, sharpness: float = 30.0):
        self._num_users = len(dataset.data.users.ids)
        self._effect, self._cost = observed_outcomes(dataset)
        self._task, self._num_tasks = dataset.data.queries.task + 1, len(dataset.data.tasks.ids) + 1
        self._strength, self._sharpness = task_strength, sharpness

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices = are_choices(train)
        self._forecast = [self._by_task(table) for table in (self._effect, self._cost)]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        weight = self._weights(history)[decisions.user][:, None]
        effect, cost = (table[decisions.query] for table in self._forecast)
        return (weight * effect - (1 - weight) * cost) * (self._sharpness if self._choices else 1)

    def _weights(self, history: Labelled) -> np.ndarray:
        """Each user's weight of quality, [users]."""
        return estimate_preferences(history, self._effect, self._cost, self._num_users, self._sharpness)

    def _by_task(self, table: np.ndarray) -> np.ndarray:
        """The observed entry of each answer, else the smoothed mean of its LLM on the task; [queries, llms]."""
        total, count = task_sums(table, self._task, self._num_tasks)
        overall = smooth(total.sum(0), count.sum(0), np.full(table.shape[1], _or(metrics.mean(table), 0.0)), 1.0)
        means = smooth(total, count, overall, self._strength)[self._task]
        return np.where(np.isnan(table), means, table)


class TaskMeansTruePreference(InferredPreference):
    """`InferredPreference` that is told every user's true weight of quality.

    Args:
      task_strength: see `InferredPreference`.
    """

    name = "task_means_true_preference"

    def __init__(self, dataset: Dataset, task_strength: float = 10.0):
        super().__init__(dataset, task_strength)
        self._preference = dataset.data.users.preference

    def _weights(self, history: Labelled) -> np.ndarray:
        return self._preference


def _grid_likelihood(
    history: Labelled, effect: np.ndarray, cost: np.ndarray, num_users: int, sharpness: float
) -> np.ndarray:
    """Likelihood of each user's choices at each weight of the grid, relative to its maximum; [users, grid]."""
    query, user = history.decisions.query, history.decisions.user
    quality, price = (np.nan_to_num(table[query]) for table in (effect, cost))
    observed = history.decisions.offered & ~np.isnan(effect[query] + cost[query]) & ~np.isnan(history.rewards)
    share = np.where(observed, history.rewards, 0)
    log_likelihood = np.zeros((num_users, len(_GRID)))
    for column, w in enumerate(_GRID):
        logits = np.where(observed, sharpness * (w * quality - (1 - w) * price), -np.inf)
        top = np.where(observed.any(1), logits.max(1), 0)
        total = np.log(np.maximum(np.exp(logits - top[:, None]).sum(1), 1e-30)) + top
        by_decision = (share * np.where(observed, logits - total[:, None], 0)).sum(1)
        log_likelihood[:, column] = np.bincount(user, by_decision, num_users)
    return np.exp(log_likelihood - log_likelihood.max(1, keepdims=True))


def _or(value: float, other: float) -> float:
    return other if np.isnan(value) else value
