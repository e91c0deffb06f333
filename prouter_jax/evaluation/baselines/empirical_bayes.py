"""Empirical-Bayes baseline: a mixture over training users, weighted by the likelihood of the user's history."""

import numpy as np
from jaxtyping import Float
from scipy import sparse

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    first_decisions,
    group_sums,
    population_means,
    select,
    user_means,
)

_HALF_WEIGHT = 30.0  # decisions of a training user whose prior weight is half the maximum
_MAX_HISTORY = 300  # decisions of a user whose rewards are compared


class EmpiricalBayes:
    """Mean rewards averaged over the other training users, weighted by how well each explains the user's history.

    weight of v for u = prior_v * exp(min(1, cap / n_u) * log-likelihood_v(history of u) / temperature),
    with n_u decisions in the history. For choices, the likelihood of a choice among its candidates comes from v's
    smoothed shares. For other rewards the log-likelihood is minus half the squared difference of the rewards of u and
    v, summed over the answers that both rated. The user's own mean is then smoothed towards the weighted average.

    Args:
      strength: number of decisions that the population's mean counts for beside a training user's mean.
      own_strength: number of decisions that the weighted average counts for beside the user's own mean.
      temperature: of the weights.
      cap: history length in decisions beyond which the weights do not sharpen further.
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
        self._train, self._choices = train, are_choices(train)
        self._means = user_means(train, self._num_users, population_means(train.rewards), self._strength)
        length = np.bincount(train.decisions.user, minlength=self._num_users)
        self._prior = length / (length + _HALF_WEIGHT)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        average = self._weights(history) @ self._means
        means = user_means(history, self._num_users, average, self._own_strength)
        return as_logits(means[decisions.user], self._choices)

    def _weights(self, history: Labelled) -> np.ndarray:
        """Mixture weights [users, training users]; rows sum to 1 and the weight of the user itself is 0."""
        if self._choices:
            fit = choice_likelihood(history, self._means)
        else:
            history = first_decisions(history, _MAX_HISTORY)
            fit = -reward_distance(history, self._train, (self._num_users, self._num_queries)) / 2
        length = np.bincount(history.decisions.user, minlength=self._num_users)[:, None]
        fit *= np.minimum(1, self._cap / np.maximum(length, 1)) / self._temperature
        np.fill_diagonal(fit, -np.inf)
        fit -= fit.max(1, keepdims=True) if self._num_users > 1 else 0
        # where all likelihoods underflow the prior is left
        weights = self._prior * np.exp(fit) + 1e-300 * self._prior
        np.fill_diagonal(weights, 0)
        alone = weights.sum(1) == 0
        weights[alone, alone.nonzero()[0]] = 1
        return weights / weights.sum(1, keepdims=True)


def choice_likelihood(
    history: Labelled, shares: Float[np.ndarray, "train_users llms"]
) -> Float[np.ndarray, "users train_users"]:
    """Log-likelihood of each user's choices under each training user's shares, float64.

    A choice among the candidates C has the probability share of the chosen LLM / sum of the shares in C.

    Args:
      history: choices of the users; users and training users have the same row numbers.
    """
    num_users, log_shares = len(shares), np.log(np.maximum(shares, 1e-9))
    observed = ~np.isnan(history.rewards).all(1)
    user, rewards = history.decisions.user[observed], np.nan_to_num(history.rewards[observed])
    chosen, _ = group_sums(rewards, user, num_users)
    offers, offer = distinct_sets(history.decisions.offered[observed])
    counts = sparse.csr_matrix((np.ones(len(user)), (user, offer)), shape=(num_users, len(offers)))
    totals = np.log(np.maximum(offers.astype(np.float64) @ shares.T, 1e-9))
    return chosen @ log_shares.T - counts @ totals


def reward_distance(first: Labelled, second: Labelled, shape: tuple[int, int]) -> Float[np.ndarray, "users users"]:
    """Sum of squared differences of two users' rewards over the answers that both rated, float64.

    Args:
      first: decisions of the users of the rows.
      second: decisions of the users of the columns.
      shape: number of users and of queries. The last of several rewards of one answer counts.
    """
    distance = np.zeros((shape[0], shape[0]))
    second = select(second, np.isin(second.decisions.query, first.decisions.query))
    for llm in range(first.rewards.shape[1]):
        (x, has_x), (y, has_y) = (_reward_table(labelled, llm, shape) for labelled in (first, second))
        distance += x**2 @ has_y.T + has_x @ (y**2).T - 2 * x @ y.T
    return np.maximum(distance, 0)


def _reward_table(labelled: Labelled, llm: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of one LLM (0 where unobserved) and whether they are observed, float32 [users, queries] each."""
    table, rewards = np.full(shape, np.nan, np.float32), labelled.rewards[:, llm]
    observed = ~np.isnan(rewards)
    table[labelled.decisions.user[observed], labelled.decisions.query[observed]] = rewards[observed]
    return np.nan_to_num(table), (~np.isnan(table)).astype(np.float32)
