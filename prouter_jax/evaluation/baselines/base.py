"""The interface of baselines (`Policy`), selection of decisions, and smoothed mean rewards.

Means are over groups of decisions (users, tasks, queries), smoothed towards a prior mean. Rewards are arrays
[decisions, llms] with NaN where the reward is unobserved. Rewards of choices are shares: the chosen LLM has 1, ties
divide it, and each decision sums to 1.
"""

import typing

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Labelled

_MIN_SHARE = 0.01  # an LLM that was never chosen keeps a positive probability


class Policy(typing.Protocol):
    """A routing policy: scores the candidates of decisions; the candidate with the highest score is selected.

    `fit` gets training and validation decisions with rewards, `score` other decisions and the users' histories.
    Any other input, such as texts and prices, comes through the constructor.

    Attributes:
      name: name of the policy in tables of results.
    """

    name: str

    def fit(self, train: Labelled, validation: Labelled) -> None:
        """Fits the policy to training decisions; validation decisions may select hyperparameters."""
        ...

    def score(self, history: Labelled, decisions: DecisionArrays) -> Float[np.ndarray, "decisions llms"]:
        """Scores every LLM in every decision.

        Args:
          history: earlier decisions, with rewards, of the users of `decisions`.

        Returns:
          Scores, never NaN for a candidate.
        """
        ...


def select(labelled: Labelled, keep: Bool[np.ndarray, " decisions"] | Int[np.ndarray, " kept"]) -> Labelled:
    """Decisions with rewards, selected by a mask or by row numbers."""
    return Labelled(select_decisions(labelled.decisions, keep), labelled.rewards[keep])


def select_decisions(decisions: DecisionArrays, keep: np.ndarray | slice) -> DecisionArrays:
    """Decisions without rewards, selected by a mask, by row numbers or by a slice."""
    return DecisionArrays(**{name: column[keep] for name, column in vars(decisions).items()})


def first_decisions(
    labelled: Labelled,
    most: Float[np.ndarray, " users"] | Int[np.ndarray, " users"] | float,
    order: Float[np.ndarray, " decisions"] | Int[np.ndarray, " decisions"] | None = None,
) -> Labelled:
    """The first decisions of each user.

    Args:
      labelled: decisions of all users.
      most: maximum number of decisions, one number for all users or one for each.
      order: sort key of the decisions; by default their row numbers.

    Returns:
      The selected decisions, in the order of `labelled`.
    """
    user = labelled.decisions.user
    ranked = np.lexsort((np.arange(len(user)) if order is None else order, user))
    count = np.bincount(user)
    rank = np.empty(len(user), int)
    rank[ranked] = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    return select(labelled, np.flatnonzero(rank < np.broadcast_to(most, count.shape)[user]))


def are_choices(labelled: Labelled) -> bool:
    """Whether rewards are shares of choices: they sum to 1 in each decision with observed rewards."""
    observed = labelled.rewards[~np.isnan(labelled.rewards).all(1)]
    return bool(np.allclose(np.nansum(observed, axis=1), 1, atol=1e-4))


def best_shares(rewards: Float[np.ndarray, "decisions llms"]) -> Float[np.ndarray, "decisions llms"]:
    """Rewards as choices: the highest reward gets share 1 (ties divide it), the others 0; NaN stays NaN."""
    observed = ~np.isnan(rewards)
    filled = np.where(observed, rewards, -np.inf)
    best = observed & (filled == filled.max(1, keepdims=True))
    return np.where(observed, best / np.maximum(best.sum(1, keepdims=True), 1), np.nan)


def group_sums(
    rewards: Float[np.ndarray, "decisions llms"], group: Int[np.ndarray, " decisions"], num_groups: int
) -> tuple[Float[np.ndarray, "groups llms"], Float[np.ndarray, "groups llms"]]:
    """Sum and number of the observed rewards of each LLM in each group, float64."""
    observed = ~np.isnan(rewards)
    total = [
        np.bincount(group[rows], column[rows], num_groups) for column, rows in zip(rewards.T, observed.T, strict=True)
    ]
    count = [np.bincount(group[rows], minlength=num_groups) for rows in observed.T]
    return np.stack(total, 1), np.stack(count, 1).astype(np.float64)


def task_sums(
    table: Float[np.ndarray, "queries columns"], task: Int[np.ndarray, " queries"], num_tasks: int
) -> tuple[Float[np.ndarray, "tasks columns"], Float[np.ndarray, "tasks columns"]]:
    """Sum and number of the entries of a table on each task, without NaN, float64."""
    member = (task == np.arange(num_tasks)[:, None]).astype(np.float64)
    return member @ np.nan_to_num(table), member @ ~np.isnan(table)


def smooth(total: np.ndarray, count: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """Posterior means (total + strength * prior) / (count + strength); equal to the prior where nothing was observed.

    Args:
      count: numbers of observations, same shape as `total`.
      prior: prior means; broadcasts to `total`.
      strength: number of observations that the prior counts for.
    """
    weight = count + strength
    return np.where(weight > 0, (total + strength * prior) / np.where(weight > 0, weight, 1), prior)


def population_means(rewards: Float[np.ndarray, "decisions llms"]) -> Float[np.ndarray, " llms"]:
    """Mean reward of each LLM over all users, float64, smoothed by one observation of the overall mean."""
    total, count = group_sums(rewards, np.zeros(len(rewards), int), 1)
    return column_means(total, count)


def query_means(
    labelled: Labelled, num_queries: int
) -> tuple[Int[np.ndarray, " queries"], Float[np.ndarray, "queries llms"]]:
    """Rows of the queries with rewards, and the mean reward of each LLM on them over all users, NaN if unobserved."""
    total, count = group_sums(labelled.rewards, labelled.decisions.query, num_queries)
    queries = np.flatnonzero(count.any(1))
    total, count = total[queries], count[queries]
    return queries, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def column_means(
    total: Float[np.ndarray, "rows columns"], count: Float[np.ndarray, "rows columns"]
) -> Float[np.ndarray, " columns"]:
    """Mean of each column from sums and numbers, smoothed by one observation of the mean of all columns."""
    overall = total.sum() / max(count.sum(), 1)
    return smooth(total.sum(0), count.sum(0), np.full(total.shape[1], overall), 1.0)


def user_means(
    history: Labelled, num_users: int, prior: Float[np.ndarray, "*users llms"], strength: float
) -> Float[np.ndarray, "users llms"]:
    """Mean reward of each LLM for each user, float64, smoothed towards the prior means by `strength` decisions."""
    total, count = group_sums(history.rewards, history.decisions.user, num_users)
    return smooth(total, count, prior, strength)


def as_logits(values: Float[np.ndarray, "*shape"], choices: bool) -> Float[np.ndarray, "*shape"]:
    """Shares of choices as logarithms, so that a softmax returns the shares; other expected rewards unchanged."""
    return np.log(np.maximum(values, _MIN_SHARE)) if choices else values
