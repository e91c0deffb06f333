"""The interface of all policies."""

import typing

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.prepare import Labelled


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
