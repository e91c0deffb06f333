"""`Report`: the results of an evaluation by policy, user and preference. Numbers that were not measured are NaN.

A policy is a rule that picks an LLM for a query: the router or a baseline. Effect is answer quality in [0, 1].
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from prouter_jax import metrics
from prouter_jax.serving.explain import Explanation

ROUTER = "router"
MATCHED = "share of choices matched"
"""The reward of users whose preference is unknown: how often a policy picks the LLM that the user chose."""
NONE = "none so far"
"""The favourite LLM of a user without positive feedback."""
POLICY_NAMES = {
    ROUTER: "personal router",
    "user_blind": "router without user history",
    "best_single": "best single LLM",
    "best_per_user": "each user's best LLM",
    "best_per_user_task": "each user's best LLM by task",
    "ridge_true_preference": "regression on true preferences",
    "random": "LLM at random",
    "cheapest": "cheapest LLM",
    "strongest": "LLM of highest quality",
    "oracle": "perfect choices",
    "gateway": "gateway's own picks",
}
"""Policies in words, without an article."""
POLICY_DESCRIPTIONS = {
    ROUTER: "the personal router: picks an LLM for this user and this query",
    "user_blind": "the same router without the user's identity: every user is a new user without history",
    "best_single": "always the one LLM that does best in the training data",
    "best_per_user": "the LLM with the highest mean reward in the user's past decisions; it sees the rewards of all "
    "LLMs there, not only the choices",
    "best_per_user_task": "the LLM with the highest mean reward in the user's past decisions on this task; it sees the "
    "rewards of all LLMs there, not only the choices",
    "ridge_true_preference": "ridge regression of quality and cost, given the user's true preference and the task",
    "random": "an LLM drawn at random from the candidates",
    "cheapest": "always the LLM with the lowest mean cost",
    "strongest": "always the LLM with the highest mean quality, at any cost",
    "oracle": "the best LLM of every single decision, known only afterwards: an upper bound",
}


@dataclasses.dataclass(frozen=True)
class SeedStatistics:
    """Statistics of a number over seeds.

    Attributes:
      mean: of the known values; NaN without any.
      spread: sample standard deviation of the known values; 0.0 for fewer than two.
      values: one for each seed, NaN where unknown.
    """

    mean: float
    spread: float
    values: list[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> "SeedStatistics":
        """The statistics of the values of all seeds."""
        values = list(values)
        known = np.array(values)[~np.isnan(values)]
        return cls(metrics.mean(known), float(known.std(ddof=1)) if len(known) > 1 else 0.0, values)


@dataclasses.dataclass(frozen=True)
class PolicyResult:
    """Results of one policy on the test decisions.

    Attributes:
      reward: mean reward per test decision.
      gap_closed: (reward - best_single) / (oracle - best_single).
      accuracy: share of decisions where the policy picks a best LLM, 0 to 1.
      effect: answer quality, 0 to 1.
      cost: USD per query.
      per_task: reward by task.
      per_user: reward by user.
    """

    reward: SeedStatistics
    gap_closed: SeedStatistics
    accuracy: SeedStatistics
    effect: SeedStatistics
    cost: SeedStatistics
    per_task: Mapping[str, float]
    per_user: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Reward of `policy` minus reward of `against` on the same test decisions.

    Attributes:
      low, high: ends of the 95 % interval; NaN if there is none.
      over: what the interval is taken over, "seeds", "users" or "test queries".
      n: number of these.
    """

    policy: str
    against: str
    mean: float
    low: float
    high: float
    over: str
    n: int


@dataclasses.dataclass(frozen=True)
class UserRow:
    """Results of one user.

    Attributes:
      preference: planted preference, 0 (only cost counts) to 1 (only quality counts); NaN if unknown.
      reward: of the router.
      best_single: reward of the policy `best_single`.
      favourite_llm: the LLM that the router picks most often.
    """

    user_id: str
    preference: float
    reward: float
    best_single: float
    favourite_llm: str


@dataclasses.dataclass(frozen=True)
class ShareTable:
    """Shares of the router's choices: each row of `shares` is a user (or a group of users) and sums to 1."""

    users: Sequence[str]
    llms: Sequence[str]
    shares: Float[np.ndarray, "users llms"] | Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class FrontierPoint:
    """Effect (0 to 1) and cost (USD per query) of the router at one preference."""

    preference: str
    effect: float
    cost: float


@dataclasses.dataclass(frozen=True)
class UserMap:
    """Users with a history on the first two principal components of their states.

    Attributes:
      users: ids.
      points: coordinates.
      preference: planted preference, NaN where unknown.
      favourite: the LLM with the most positive feedback in each user's history, `NONE` without any.
      explained_variance: share of the variance of the states that each axis explains, 0 to 1.
    """

    users: Sequence[str]
    points: Float[np.ndarray, "users 2"]
    preference: Float[np.ndarray, " users"]
    favourite: Sequence[str]
    explained_variance: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class LogValue:
    """The estimated value of a policy on logged decisions, of which each has the reward of one answer.

    Attributes:
      low, high: ends of the 95 % interval.
      effective: effective sample size in decisions.
      mean_weight: mean importance weight; well below 1 if the log rarely has the policy's picks.
      gain: the router's value minus this one; None for the router.
    """

    policy: str
    value: float
    low: float
    high: float
    effective: float
    mean_weight: float
    gain: PairedDifference | None = None


@dataclasses.dataclass(frozen=True)
class LogComparison:
    """Policies compared off-policy on the test decisions of a log.

    Attributes:
      values: of the router and other policies; empty if the log allows no estimate.
      limits: what this log cannot tell, in sentences.
    """

    values: Sequence[LogValue]
    limits: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Report:
    """All results of an evaluation.

    Attributes:
      title: heading of the pages.
      facts: provenance of the evaluation by name: data, versions, machine, date.
      reward_name: "reward" or `MATCHED`.
      policies: results by policy name.
      paired: differences between policies.
      users: results by user.
      shares: the router's choices by user.
      frontier: the router at several preferences.
      explanations: why a few users get their LLM; None if not asked for.
      user_map: None if not asked for.
      log: policies compared off-policy, if the data are a log; None otherwise.

    Example:
      >>> from prouter_jax import Report, evaluate_experiment
      >>> report: Report = evaluate_experiment("runs/embedded")
      >>> report.reward_name, report.policies["router"].reward.mean > report.policies["random"].reward.mean
      ('share of choices matched', True)
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
    log: LogComparison | None = None
