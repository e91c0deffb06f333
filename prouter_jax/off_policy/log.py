"""`Log`: logged decisions with one known outcome each, as arrays, and the policies that are compared on them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Log:
    """Decisions of which only the served LLM's reward is known.

    Attributes:
      offered: bool [decisions, llms], the candidates; two or more in each decision.
      served: int [decisions], the LLM that answered.
      reward: float [decisions], what its answer was worth.
      propensity: float [decisions], the probability with which it was picked; NaN where unknown.
      user, task, query: int [decisions], row numbers of any kind; task -1 for none. Decisions of one user are alike.
      length: float [decisions], characters of the query.
    """

    offered: np.ndarray
    served: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    user: np.ndarray
    task: np.ndarray
    query: np.ndarray
    length: np.ndarray

    def take(self, rows: np.ndarray) -> "Log":
        """The given decisions (row numbers, or bool [decisions])."""
        return Log(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def of_served(self, values: np.ndarray) -> np.ndarray:
        """The entries of the served LLMs: [decisions, llms] -> [decisions]."""
        return values[np.arange(len(self.served)), self.served]


def always(picked: np.ndarray, num_llms: int) -> np.ndarray:
    """The policy that is certain of its picks [decisions]: probabilities [decisions, llms]."""
    return np.eye(num_llms)[picked]
