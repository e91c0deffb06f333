"""Empirical Bayes: a user is taken for one of the known users, which one its history tells."""

import numpy as np
from scipy import sparse

from prouter_jax.decisions import DecisionArrays
from prouter_jax.grouping import distinct_sets
from prouter_jax.policies.means import are_choices, as_logits, group_sums, population_means, smooth
from prouter_jax.policies.selection import first_decisions, select
from prouter_jax.prepare import Labelled, Prepared

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
        prepared: Prepared,
        strength: float = 8.0,
        own_strength: float = 100.0,
        temperature: float = 1.0,
        cap: float = 1000.0,
    ):
        self._num_users = len(prepared.data.users.ids)
        self._num_queries = len(prepared.data.queries.ids)
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
