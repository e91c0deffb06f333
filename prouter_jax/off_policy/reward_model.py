"""What each candidate's answer would have been worth, foreseen by a model that has not seen the user: cross-fitted."""

import numpy as np

from prouter_jax.off_policy.log import Log

_FOLDS = 5
_RIDGE = 10.0  # decisions' worth of belief that an LLM's rewards are the mean of all


def foresee_rewards(log: Log, contexts: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
    """Rewards of all LLMs, float [decisions, llms].

    A ridge regression for each LLM on the decisions that it served, beside the mean reward of all. Users are dealt to
    five folds by chance, and those of a fold are foreseen from the others: so that no estimate knows the rewards that
    it is corrected with (cross-fitting, Chernozhukov et al. 2018).

    Args:
      contexts: [decisions, features].
      hints: [decisions, llms], such as the probabilities of the router that is judged; they may say much of rewards.
    """
    found = np.empty_like(log.offered, float)
    fold = fold_users(log.user)
    for number in range(_FOLDS):
        rest, own = fold != number, fold == number
        mean = log.reward[rest].mean()
        for llm in range(found.shape[1]):
            features = contexts if hints is None else np.column_stack([contexts, hints[:, llm]])
            rows = rest & (log.served == llm)
            some = features[rows]
            inner = some.T @ some + _RIDGE * np.eye(some.shape[1])
            found[own, llm] = mean + features[own] @ np.linalg.solve(inner, some.T @ (log.reward[rows] - mean))
    return found


def fold_users(user: np.ndarray) -> np.ndarray:
    """The fold of each decision, 0 to 4: all of a user are in one, int [decisions]."""
    names, place = np.unique(user, return_inverse=True)
    dealt = np.random.default_rng(0).permutation(len(names)) % _FOLDS
    return dealt[place]
