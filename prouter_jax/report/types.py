"""`Report`: what an evaluation found, by policy, user and preference. Unknown numbers are NaN."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from prouter_jax.serving.explain import Explanation

ROUTER = "router"
EXPLANATIONS = {
    ROUTER: "the personal router: picks an LLM for this user and this query",
    "user_blind": "the same router, not told who asks: everybody is a stranger to it",
    "best_single": "always the one LLM that did best in the training data",
    "best_per_user": "the LLM of the highest mean reward in the user's past decisions, told every reward there, "
    "not only the choices",
    "best_per_user_task": "the same among the user's past decisions on this task, told every reward there, "
    "not only the choices",
    "ridge_true_preference": "a linear forecast of quality and cost, told the user's true preference and the task",
    "random": "any LLM on offer, by chance",
    "cheapest": "always the LLM with the lowest average cost",
    "strongest": "always the LLM with the highest average quality, whatever it costs",
    "oracle": "the best LLM of each single decision, known only afterwards: nobody can do better",
}


@dataclasses.dataclass(frozen=True)
class Spread:
    """A number over seeds: mean, standard deviation (0.0 for one seed) and the value of each seed."""

    mean: float
    spread: float
    values: list[float]


@dataclasses.dataclass(frozen=True)
class PolicyResult:
    """How one policy did on the test decisions; cost in USD per query, `per_task` and `per_user` rewards."""

    reward: Spread
    gap_closed: Spread
    accuracy: Spread
    effect: Spread
    cost: Spread
    per_task: Mapping[str, float]
    per_user: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Reward of `policy` minus that of `against` with a 95 % interval over `n` 'seeds' or 'test queries'."""

    policy: str
    against: str
    mean: float
    low: float
    high: float
    over: str
    n: int


@dataclasses.dataclass(frozen=True)
class UserRow:
    """One user: planted preference (or NaN), the rewards of the router and of best_single, the favourite LLM."""

    user_id: str
    preference: float
    reward: float
    best_single: float
    favourite_llm: str


@dataclasses.dataclass(frozen=True)
class ShareTable:
    """The router's choices: `shares` [users, llms], each row a user (or a group) and summing to 1."""

    users: Sequence[str]
    llms: Sequence[str]
    shares: np.ndarray | Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class FrontierPoint:
    """Effect and cost (USD per query) of the router at one preference."""

    preference: str
    effect: float
    cost: float


@dataclasses.dataclass(frozen=True)
class UserMap:
    """Where users with a history stand on the two axes along which their states differ most.

    Attributes:
      users: ids; points: [users, 2].
      preference: planted, NaN where unknown, [users].
      favourite: the LLM that each liked most often in its history.
      told: share of the differences between states that each axis tells.
    """

    users: Sequence[str]
    points: np.ndarray
    preference: np.ndarray
    favourite: Sequence[str]
    told: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that an evaluation found; `reward_name` is "reward" or "share of choices matched".

    `explanations` are those of a few users, `user_map` is of all; None where nobody asked for them.
    """

    title: str
    facts: Mapping[str, str]
    reward_name: str
    policies: Mapping[str, PolicyResult]
    paired: Sequence[PairedDifference]
    users: Sequence[UserRow]
    shares: ShareTable
    frontier: Sequence[FrontierPoint]
    explanations: Sequence[Explanation] | None = None
    user_map: UserMap | None = None
