"""Bandits that a practitioner would write, with priors from known users.

    beta_cells      Thompson sampling of Beta(s m_a + ups, s (1 - m_a) + downs) for each user and LLM a
    epsilon_greedy  argmax of (s m_a + ups) / (s + thumbs) for each user, with probability epsilon any LLM
    linucb          argmax of x . w_a + alpha sqrt(x' A_a^-1 x), x = [1, text vector, user]  (Li et al. 2010, disjoint)

m_a is the share of known users' decisions in which a thumb on a would be up, s the number of thumbs that it counts for.
Known users have told the best LLM of each of their decisions, so all of m_a and of LinUCB's regressions is known.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Warm:
    """What known users told.

    Attributes:
      likes: whether a thumb on each LLM's answer would be up.
      vectors: of the query of each decision.
    """

    likes: Bool[np.ndarray, "decisions llms"]
    vectors: Float[np.ndarray, "decisions width"]


class _Counts:
    """Ups and thumbs of each user and LLM, with those of the prior."""

    def __init__(self, warm: Warm, users: int, strength: float, rng: np.random.Generator):
        mean = warm.likes.mean(0)
        self.ups, self.downs = (np.tile(strength * share, (users, 1)) for share in (mean, 1 - mean))
        self.rng = rng

    def learn(self, user: int, query: int, llm: int, up: bool) -> None:
        (self.ups if up else self.downs)[user, llm] += 1


class BetaCells(_Counts):
    """Thompson sampling with a Beta distribution for each user and LLM.

    Args:
      users: number of users.
      strength: s.
    """

    def pick(self, query: Int[np.ndarray, " users"]) -> Int[np.ndarray, " users"]:
        return self.rng.beta(self.ups + _LEAST, self.downs + _LEAST).argmax(1)


class EpsilonGreedy(_Counts):
    """The LLM of the highest mean of each user, and with probability epsilon any.

    Args:
      users: number of users.
      strength: s.
    """

    def __init__(self, warm: Warm, users: int, strength: float, epsilon: float, rng: np.random.Generator):
        super().__init__(warm, users, strength, rng)
        self.epsilon = epsilon

    def pick(self, query: Int[np.ndarray, " users"]) -> Int[np.ndarray, " users"]:
        best = (self.ups / (self.ups + self.downs)).argmax(1)
        explores = self.rng.random(len(best)) < self.epsilon
        return np.where(explores, self.rng.integers(self.ups.shape[1], size=len(best)), best)


class LinUcb:
    """LinUCB; users do not learn from each other, but all start from the regression on the known users' decisions.

    Args:
      vectors: of all queries.
      users: number of users.
      alpha: weight of the bound.
      user_precision: ridge of the weight of the feature of a user; that of the others is 1.
    """

    def __init__(
        self, warm: Warm, vectors: Float[np.ndarray, "queries width"], users: int, alpha: float, user_precision: float
    ):
        known = np.concatenate([np.ones((len(warm.vectors), 1)), warm.vectors], 1)
        width, llms = known.shape[1] + 1, warm.likes.shape[1]
        precision, moment = np.eye(width), np.zeros((width, llms))
        precision[:-1, :-1] += known.T @ known
        precision[-1, -1] = user_precision
        moment[:-1] = known.T @ warm.likes
        self.inverse = np.tile(np.linalg.inv(precision), (users, llms, 1, 1))
        self.moment = np.tile(moment.T, (users, 1, 1))
        self.features = np.concatenate([np.ones((len(vectors), 1)), vectors, np.ones((len(vectors), 1))], 1)
        self.alpha = alpha

    def pick(self, query: Int[np.ndarray, " users"]) -> Int[np.ndarray, " users"]:
        x = self.features[query]
        ax = np.einsum("ulij,uj->uli", self.inverse, x)
        bound = np.sqrt(np.einsum("uli,ui->ul", ax, x))
        return (np.einsum("uli,uli->ul", ax, self.moment) + self.alpha * bound).argmax(1)

    def learn(self, user: int, query: int, llm: int, up: bool) -> None:
        x, inverse = self.features[query], self.inverse[user, llm]
        ax = inverse @ x
        self.inverse[user, llm] = inverse - np.outer(ax, ax) / (1 + x @ ax)
        self.moment[user, llm] += up * x


_LEAST = 1e-3  # of a parameter of a Beta distribution
