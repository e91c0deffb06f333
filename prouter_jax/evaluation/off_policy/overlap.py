"""Whether the log's picks were made by chance at all: what was never tried, no log can tell the worth of."""

import numpy as np

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.evaluation.off_policy.log import Log

CERTAIN = 0.999  # from this probability on, a pick is taken for certain
_MOST_CERTAIN = 0.05  # share of certain decisions that may be left out
_FEWEST_REPEATS = 5  # decisions of a context that tell whether it always gets the same LLM
_ENOUGH_REPEATED = 0.5  # share of decisions in such contexts that tell of the log
_TOO_SURE = 0.95  # mean fitted probability of the picks
_NEVER = "what another LLM would have been worth was never tried"


def check_told(propensity: np.ndarray) -> np.ndarray:
    """Which decisions were made by chance, by the propensities that the log tells: bool [decisions].

    Raises:
      ValueError: if more than one in twenty was certain.
    """
    certain = propensity >= CERTAIN
    if certain.mean() > _MOST_CERTAIN:
        raise ValueError(
            f"log: expected LLMs that were picked by chance, found {certain.sum()} of {len(certain)} decisions with "
            f"propensity 1: {_NEVER}"
        )
    return ~certain


def check_contexts(log: Log) -> None:
    """Looks for picks that follow from candidates, task, user and query, where the log tells no propensities.

    Raises:
      ValueError: if contexts that come again always get the same LLM.
    """
    _, offer = distinct_sets(log.offered)
    by_name = {"candidates": offer, "task": log.task, "user": log.user, "query": log.query}
    for names in (("candidates",), ("candidates", "task"), ("candidates", "user"), ("candidates", "task", "user"),
                  ("candidates", "query")):  # fmt: skip
        repeated, same = _repeats(np.stack([by_name[name] for name in names], 1), log.served)
        if repeated.mean() >= _ENOUGH_REPEATED and same[repeated].mean() >= CERTAIN:
            raise ValueError(
                f"log: expected LLMs that were picked by chance, found that the same {', '.join(names)} always get the "
                f"same LLM ({repeated.sum()} of {len(same)} decisions): {_NEVER}"
            )


def check_fitted(chance: np.ndarray) -> None:
    """Looks at the fitted probabilities of the picks, [decisions].

    Raises:
      ValueError: if the contexts foretell nearly every pick.
    """
    if chance.mean() > _TOO_SURE:
        raise ValueError(
            f"log: expected LLMs that were picked by chance, found picks that task, candidates, length and user "
            f"foretell with a mean probability of {chance.mean():.3f}: {_NEVER}"
        )


def _repeats(context: np.ndarray, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which decisions are in a context that comes often, and which got its usual LLM: bool [decisions] twice."""
    _, place = np.unique(context, axis=0, return_inverse=True)
    count = np.zeros((place.max() + 1, served.max() + 1))
    np.add.at(count, (place, served), 1)
    return (count.sum(1) >= _FEWEST_REPEATS)[place], (count.argmax(1)[place] == served)
