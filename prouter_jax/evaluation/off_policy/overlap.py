"""Checks of positivity (overlap): actions with zero propensity cannot be evaluated from the log."""

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.evaluation.off_policy.log import Log

DETERMINISTIC = 0.999  # propensity from which a selection counts as deterministic
_MAX_DETERMINISTIC = 0.05  # share of deterministic decisions that may be left out
_MIN_REPEATS = 5  # decisions of a context that show whether it always gets the same LLM
_MIN_REPEATED = 0.5  # share of decisions in such contexts from which the check is decisive
_MAX_FITTED = 0.95  # largest mean fitted propensity of the served LLMs
_CONTEXTS = (
    *(("candidates",), ("candidates", "task"), ("candidates", "user")),
    *(("candidates", "task", "user"), ("candidates", "query")),
)
_REASON = "actions with zero propensity cannot be evaluated from the log"


def check_logged_propensities(propensity: Float[np.ndarray, " decisions"]) -> Bool[np.ndarray, " decisions"]:
    """Mask of the decisions that were not deterministic, by their logged propensities.

    Raises:
      ValueError: if more than 5 % of the decisions were deterministic.
    """
    certain = propensity >= DETERMINISTIC
    if certain.mean() > _MAX_DETERMINISTIC:
        raise ValueError(
            f"log: expected a stochastic logging policy, found {certain.sum()} of {len(certain)} decisions with "
            f"propensity 1: {_REASON}"
        )
    return ~certain


def check_contexts(log: Log) -> None:
    """Checks a log without propensities for LLMs that follow from candidates, task, user and query.

    Raises:
      ValueError: if repeated contexts always get the same LLM.
    """
    _, offer = distinct_sets(log.offered)
    by_name = {"candidates": offer, "task": log.task, "user": log.user, "query": log.query}
    for names in _CONTEXTS:
        repeated, same = _repeats(np.stack([by_name[name] for name in names], 1), log.served)
        if repeated.mean() >= _MIN_REPEATED and same[repeated].mean() >= DETERMINISTIC:
            raise ValueError(
                f"log: expected a stochastic logging policy, found that the same {', '.join(names)} always get the "
                f"same LLM ({repeated.sum()} of {len(same)} decisions): {_REASON}"
            )


def check_fitted_propensities(propensity: Float[np.ndarray, " decisions"]) -> None:
    """Checks the fitted propensities of the served LLMs.

    Raises:
      ValueError: if the contexts predict nearly all selections.
    """
    if propensity.mean() > _MAX_FITTED:
        raise ValueError(
            f"log: expected a stochastic logging policy, found LLMs that task, candidates, length and user predict "
            f"with a mean probability of {propensity.mean():.3f}: {_REASON}"
        )


def _repeats(context: np.ndarray, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a decision's context is frequent, and whether it got the context's usual LLM: bool [decisions] each.

    Args:
      context: int [decisions, fields].
      served: int [decisions].
    """
    _, row = np.unique(context, axis=0, return_inverse=True)
    count = np.zeros((row.max() + 1, served.max() + 1))
    np.add.at(count, (row, served), 1)
    return (count.sum(1) >= _MIN_REPEATS)[row], (count.argmax(1)[row] == served)
