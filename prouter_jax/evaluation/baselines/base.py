"""The interface of baselines (`Policy`), and selection of decisions by row, by mask or by user."""

import typing

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Labelled


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
          decisions: the decisions to score.

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
