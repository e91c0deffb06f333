"""Parts of labelled decisions."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.prepare import Labelled


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
