"""Means of rewards in groups, smoothed towards what is known more widely: what most policies are made of."""

import typing

import numpy as np

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Labelled

_LEAST_SHARE = 0.01  # an answer that nobody was seen to choose is not impossible


def are_choices(labelled: Labelled) -> bool:
    """Whether the rewards are shares of choices: in each decision with known rewards they sum to 1."""
    known = labelled.rewards[~np.isnan(labelled.rewards).all(1)]
    return bool(np.allclose(np.nansum(known, axis=1), 1, atol=1e-4))


def best_shares(rewards: np.ndarray) -> np.ndarray:
    """Rewards [decisions, llms] as choices: the best share 1, the others 0, NaN stays; choices stay as they are."""
    known = ~np.isnan(rewards)
    best = known & (np.where(known, rewards, -np.inf) == np.where(known, rewards, -np.inf).max(1, keepdims=True))
    return np.where(known, best / np.maximum(best.sum(1, keepdims=True), 1), np.nan)


def group_sums(rewards: np.ndarray, group: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known rewards [decisions, llms] of each LLM in each group, float64 [groups, llms] each."""
    known = ~np.isnan(rewards)
    total = [
        np.bincount(group[some], column[some], num_groups) for column, some in zip(rewards.T, known.T, strict=True)
    ]
    count = [np.bincount(group[some], minlength=num_groups) for some in known.T]
    return np.stack(total, 1), np.stack(count, 1).astype(np.float64)


def smooth(total: np.ndarray, count: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """(total + strength * prior) / (count + strength): the prior where nothing is known."""
    weight = count + strength
    return np.where(weight > 0, (total + strength * prior) / np.where(weight > 0, weight, 1), prior)


def population_means(rewards: np.ndarray) -> np.ndarray:
    """Mean reward of each LLM, float64 [llms], as if each had been met once with an average reward."""
    total, count = group_sums(rewards, np.zeros(len(rewards), int), 1)
    average = total.sum() / max(count.sum(), 1)
    return smooth(total[0], count[0], np.full(total.shape[1], average), 1.0)


def user_means(history: Labelled, num_users: int, population: np.ndarray, strength: float) -> np.ndarray:
    """Each user's mean reward of each LLM, smoothed towards the population's [llms]; float64 [users, llms]."""
    total, count = group_sums(history.rewards, history.decisions.user, num_users)
    return smooth(total, count, population, strength)


def as_logits(values: np.ndarray, choices: bool) -> np.ndarray:
    """Expected rewards as they are; shares of choices as their logarithms, so that a softmax gives them back."""
    return np.log(np.maximum(values, _LEAST_SHARE)) if choices else values


class Policy(typing.Protocol):
    """What scores the candidates of decisions.

    A policy sees rewards of training and validation decisions in `fit`; `score` then scores other
    decisions, given the users' histories. What else a policy may know it gets by its constructor.
    """

    name: str

    def fit(self, train: Labelled, validation: Labelled) -> None:
        """Learns from rewards."""
        ...

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        """float [decisions, llms]; never NaN for a candidate.

        Args:
          history: what the users of `decisions` did before, as far as it is known.
        """
        ...


def select(labelled: Labelled, keep: np.ndarray) -> Labelled:
    """The decisions where `keep` [decisions] is true, or of the given rows."""
    return Labelled(select_decisions(labelled.decisions, keep), labelled.rewards[keep])


def select_decisions(decisions: DecisionArrays, keep: np.ndarray | slice) -> DecisionArrays:
    """As `select`, without rewards."""
    return DecisionArrays(**{name: column[keep] for name, column in vars(decisions).items()})


def first_decisions(labelled: Labelled, most: np.ndarray | float, order: np.ndarray | None = None) -> Labelled:
    """At most the first `most` decisions of each user, in their order or in that of `order` [decisions].

    Args:
      most: one number, or one for each user.
    """
    user = labelled.decisions.user
    ranked = np.lexsort((np.arange(len(user)) if order is None else order, user))
    count = np.bincount(user)
    place = np.empty(len(user), int)
    place[ranked] = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    return select(labelled, np.flatnonzero(place < np.broadcast_to(most, count.shape)[user]))
