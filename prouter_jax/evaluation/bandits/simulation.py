"""Simulates new users who give thumbs on served answers, and what each policy loses against the best LLM.

In each round of a user a policy picks an LLM for the user's next query. The user may give a thumb on its answer: up if
no other LLM has a higher reward for this user and query. Only that thumb is seen. The regret of a round is the highest
reward of an LLM minus that of the pick.
"""

import dataclasses
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Rounds:
    """What users ask and how they like the answers.

    Attributes:
      user: row of each user.
      query: row of the query of each round.
      reward: of the answer of each LLM.
      answered: whether the user gives a thumb.
    """

    user: Int[np.ndarray, " users"]
    query: Int[np.ndarray, "users rounds"]
    reward: Float[np.ndarray, "users rounds llms"]
    answered: Bool[np.ndarray, "users rounds"]

    @property
    def likes(self) -> Bool[np.ndarray, "users rounds llms"]:
        """Whether a thumb on each answer would be up."""
        return self.reward >= self.reward.max(2, keepdims=True)


class Bandit(Protocol):
    """A policy that learns from thumbs. It knows all users of a simulation from the start, without feedback."""

    def pick(self, query: Int[np.ndarray, " users"]) -> Int[np.ndarray, " users"]:
        """Picks an LLM for the next query of each user."""
        ...

    def learn(self, user: int, query: int, llm: int, up: bool) -> None:
        """Takes a thumb."""
        ...


def draw_rounds(
    user: Int[np.ndarray, " decisions"],
    query: Int[np.ndarray, " decisions"],
    reward: Float[np.ndarray, "decisions llms"],
    thumbs: int,
    answered_share: float,
    most_users: int,
    rng: np.random.Generator,
) -> Rounds:
    """Draws the rounds of some users from their decisions, in random order.

    Args:
      user, query, reward: of decisions whose rewards are all known.
      thumbs: that each user gives; the rounds end with the last one.
      answered_share: of the rounds in which a user gives a thumb, at random.
      most_users: number of users at most.
    """
    length = round(thumbs / answered_share)
    names = [name for name in np.unique(user) if (user == name).sum() >= length]
    if not names:
        raise ValueError(f"users: expected {length} decisions of one for {thumbs} thumbs, found fewer")
    names = rng.permutation(names)[:most_users]
    rows = np.stack([rng.permutation(np.flatnonzero(user == name))[:length] for name in names])
    # exactly so many thumbs: regrets of policies are compared after the same number
    order = rng.permuted(np.tile(np.arange(length), (len(names), 1)), axis=1)
    return Rounds(names, query[rows], reward[rows], order < thumbs)


def simulate(bandit: Bandit, rounds: Rounds) -> Float[np.ndarray, "users rounds"]:
    """Returns the regret of each round."""
    likes, users = rounds.likes, np.arange(len(rounds.query))
    picks = np.empty(rounds.query.shape, np.int64)
    for number, query in enumerate(rounds.query.T):
        picks[:, number] = bandit.pick(query)
        for user in users[rounds.answered[:, number]]:
            llm = picks[user, number]
            bandit.learn(int(user), int(query[user]), int(llm), bool(likes[user, number, llm]))
    return regret(rounds, picks)


def regret(rounds: Rounds, picks: Int[np.ndarray, "users rounds"]) -> Float[np.ndarray, "users rounds"]:
    """Returns the highest reward minus that of the pick."""
    return rounds.reward.max(2) - np.take_along_axis(rounds.reward, picks[..., None], 2)[..., 0]


def after_thumbs(values: Float[np.ndarray, "users rounds"], rounds: Rounds, number: int) -> Float[np.ndarray, " users"]:
    """Returns each user's sum of values up to the round of its thumb of this number, which counts from 1."""
    given = rounds.answered.cumsum(1) - rounds.answered  # before the round
    return (values * (given < number)).sum(1)
