"""Cross-fitted reward model of the doubly robust estimator: a ridge regression for each LLM."""

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.evaluation.off_policy.log import Log

_FOLDS = 5
_RIDGE = 10.0  # shrinks an LLM's coefficients to 0, that is its rewards to the mean of all


def predict_rewards(
    log: Log,
    contexts: Float[np.ndarray, "decisions features"],
    hints: Float[np.ndarray, "decisions llms"] | None = None,
) -> Float[np.ndarray, "decisions llms"]:
    """Predicted rewards of all LLMs.

    A ridge regression for each LLM on the decisions that it served, on rewards minus their overall mean. Users are
    divided into five random folds, and each fold is predicted from the others, so that no estimate is corrected with
    a model of its own rewards (cross-fitting, Chernozhukov et al. 2018).

    Args:
      log: the logged decisions.
      contexts: see `log.build_contexts`.
      hints: one more feature for each LLM, such as the probability of the evaluated policy.
    """
    predicted = np.empty_like(log.offered, float)
    fold = fold_users(log.user)
    for number in range(_FOLDS):
        rest, own = fold != number, fold == number
        mean = log.reward[rest].mean()
        for llm in range(predicted.shape[1]):
            features = contexts if hints is None else np.column_stack([contexts, hints[:, llm]])
            rows = rest & (log.served == llm)
            x = features[rows]
            gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
            predicted[own, llm] = mean + features[own] @ np.linalg.solve(gram, x.T @ (log.reward[rows] - mean))
    return predicted


def fold_users(user: Int[np.ndarray, " decisions"]) -> Int[np.ndarray, " decisions"]:
    """Random fold of each decision, 0 to 4; all decisions of a user are in one fold."""
    users, row = np.unique(user, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(users)) % _FOLDS)[row]
