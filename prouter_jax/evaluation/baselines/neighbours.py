"""Empirical Bayes: a user is taken for one of the known users, which one its history tells."""

import numpy as np
from scipy import sparse

from prouter_jax.data.interactions import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    first_decisions,
    group_sums,
    population_means,
    select,
    smooth,
)
from prouter_jax.evaluation.baselines.features import nearest
from prouter_jax.evaluation.baselines.forecast import QueryForecast
from prouter_jax.evaluation.baselines.simple import SmoothedFavourite

_SHORT = 30.0  # a known user with so many decisions counts half
_LONGEST = 300  # decisions of a user whose rewards are compared: enough to know it by


class EmpiricalBayes:
    """Mean rewards averaged over the other known users, weighed by how well each explains the user's history.

    weight of v for u = prior_v * exp(min(1, cap / n_u) * log-likelihood_v(history of u) / temperature),
    for choices with the probability of a choice among its candidates in v's smoothed shares, for
    other rewards with -(difference of the rewards of u and v)^2 / 2 summed over the answers that
    both met. The user's own mean is then smoothed towards that average.

    Args:
      strength: how strongly the known users' means are smoothed towards the population's.
      own_strength: for how many decisions the average counts beside the user's own.
      cap: decisions from which on a longer history sharpens the weights no further.
    """

    name = "empirical_bayes"

    def __init__(
        self,
        dataset: Dataset,
        strength: float = 8.0,
        own_strength: float = 100.0,
        temperature: float = 1.0,
        cap: float = 1000.0,
    ):
        self._num_users = len(dataset.data.users.ids)
        self._num_queries = len(dataset.data.queries.ids)
        self._strength, self._own_strength = strength, own_strength
        self._temperature, self._cap = temperature, cap

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del validation
        self._train, self._choices = train, are_choices(train)
        population = population_means(train.rewards)
        total, count = group_sums(train.rewards, train.decisions.user, self._num_users)
        self._known = smooth(total, count, population, self._strength)
        length = np.bincount(train.decisions.user, minlength=self._num_users)
        self._prior = length / (length + _SHORT)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        average = self._weights(history) @ self._known
        total, count = group_sums(history.rewards, history.decisions.user, self._num_users)
        means = smooth(total, count, average, self._own_strength)
        return as_logits(means[decisions.user], self._choices)

    def _weights(self, history: Labelled) -> np.ndarray:
        """Float [users, known users], rows sum to 1; nobody is compared with itself."""
        if self._choices:
            fit = choice_likelihood(history, self._known)
        else:
            history = first_decisions(history, _LONGEST)
            fit = -reward_distance(history, self._train, (self._num_users, self._num_queries)) / 2
        length = np.bincount(history.decisions.user, minlength=self._num_users)[:, None]
        fit *= np.minimum(1, self._cap / np.maximum(length, 1)) / self._temperature
        np.fill_diagonal(fit, -np.inf)
        fit -= fit.max(1, keepdims=True) if self._num_users > 1 else 0
        weights = self._prior * np.exp(fit) + 1e-300 * self._prior
        np.fill_diagonal(weights, 0)
        lonely = weights.sum(1) == 0
        weights[lonely, lonely.nonzero()[0]] = 1
        return weights / weights.sum(1, keepdims=True)


def choice_likelihood(history: Labelled, shares: np.ndarray) -> np.ndarray:
    """Log-likelihood of each user's choices under each known user's shares [known users, llms].

    A choice among the candidates C has the probability share_chosen / sum of the shares in C.

    Returns:
      float64 [users, known users].
    """
    num_users, logs = len(shares), np.log(np.maximum(shares, 1e-9))
    told = ~np.isnan(history.rewards).all(1)
    user, rewards = history.decisions.user[told], np.nan_to_num(history.rewards[told])
    chosen, _ = group_sums(rewards, user, num_users)
    offers, offer = distinct_sets(history.decisions.offered[told])
    ones = np.ones(len(user))
    asked = sparse.csr_matrix((ones, (user, offer)), shape=(num_users, len(offers)))
    totals = np.log(np.maximum(offers.astype(np.float64) @ shares.T, 1e-9))
    return chosen @ logs.T - asked @ totals


def reward_distance(first: Labelled, second: Labelled, shape: tuple[int, int]) -> np.ndarray:
    """Sum of squared differences of two users' rewards over the answers that both met, float64 [users, users].

    Args:
      shape: number of users and of queries; of several rewards of one answer the last counts.
    """
    distance = np.zeros((shape[0], shape[0]))
    second = select(second, np.isin(second.decisions.query, first.decisions.query))
    for llm in range(first.rewards.shape[1]):
        (x, met_x), (y, met_y) = (_table(labelled, llm, shape) for labelled in (first, second))
        distance += x**2 @ met_y.T + met_x @ (y**2).T - 2 * x @ y.T
    return np.maximum(distance, 0)


def _table(labelled: Labelled, llm: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of one LLM and whether they are known, float32 [users, queries] each."""
    table, rewards = np.full(shape, np.nan, np.float32), labelled.rewards[:, llm]
    known = ~np.isnan(rewards)
    table[labelled.decisions.user[known], labelled.decisions.query[known]] = rewards[known]
    return np.nan_to_num(table), (~np.isnan(table)).astype(np.float32)


class Neighbours(QueryForecast):
    """The forecast of a query is the mean over its nearest seen ones, trusted by the factor `trust`.

    weight = softmax(sharpness * (cosine + task_bonus where the task is the same)) over `number` queries.
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
        dataset: Dataset,
        strength: float = 8.0,
        near_strength: float = 10.0,
        number: int = 50,
        sharpness: float = 5.0,
        task_bonus: float = 0.3,
    ):
        super().__init__(dataset, strength)
        self._prepared, self._near_strength = dataset, near_strength
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
