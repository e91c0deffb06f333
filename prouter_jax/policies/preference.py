"""How users weigh quality against cost, told by their histories alone, and the policy that needs no more."""

import numpy as np

from prouter_jax import metrics
from prouter_jax.decisions import DecisionArrays, outcome_matrices
from prouter_jax.policies.means import are_choices, smooth
from prouter_jax.policies.selection import first_decisions
from prouter_jax.prepare import Labelled, Prepared

_GRID = np.linspace(0, 1, 41)
_LONGEST = 200  # decisions of a user that are looked at: enough to know its weight
_BLOCK = 1 << 16


def seen_outcomes(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Effect and scaled cost of what the world holds, float32 [queries of the data, llms] each, NaN elsewhere."""
    tables = outcome_matrices(prepared.world.interactions, prepared.world.scale)
    seen = prepared.world_query >= 0
    found = [np.full((len(seen), table.shape[1]), np.nan, np.float32) for table in tables]
    for table, known in zip(found, tables, strict=True):
        table[seen] = known[prepared.world_query[seen]]
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

    def __init__(self, prepared: Prepared, task_strength: float = 10.0, sharpness: float = 30.0):
        self._num_users = len(prepared.data.users.ids)
        self._effect, self._cost = seen_outcomes(prepared)
        self._task, self._num_tasks = prepared.data.queries.task + 1, len(prepared.data.tasks.ids) + 1
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
