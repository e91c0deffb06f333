"""Measuring: what the router and all policies pick for the test decisions of one split."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.interactions import Users
from prouter_jax.data.rewards import choice_shares, outcome_matrix
from prouter_jax.dataset import Dataset
from prouter_jax.evaluation.baselines import make_policies


@dataclasses.dataclass(frozen=True)
class Selections:
    """What one policy picked: LLM row, reward, 1 if it matched the choice, effect, cost in USD; [decisions] each."""

    llm: np.ndarray
    reward: np.ndarray
    right: np.ndarray
    effect: np.ndarray
    cost: np.ndarray


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """One split's test decisions and the picks of every policy.

    Attributes:
      user, task, query: int [decisions], rows; task -1 for none.
      picks: by policy.
    """

    users: Users
    task_ids: np.ndarray
    llm_ids: np.ndarray
    user: np.ndarray
    task: np.ndarray
    query: np.ndarray
    picks: Mapping[str, Selections]


def evaluate_seed(dataset: Dataset, router_scores: Mapping[str, np.ndarray]) -> SeedResult:
    """Measures the given scores and every policy that applies on the test decisions, by the same lines.

    All pick among the candidates whose reward is known; decisions without any are left out.

    Args:
      router_scores: such as "router" and "user_blind"; [decisions, llms] of `prepared.labelled("test")`.

    Raises:
      ValueError: if a score is NaN or of the wrong shape, or no test decision has a known reward.
    """
    train, validation, test = (dataset.labelled(part) for part in ("train", "validation", "test"))
    known = ~np.isnan(test.rewards)
    rows = np.flatnonzero(known.any(1))
    if not len(rows):
        raise ValueError("test decisions: expected a known reward, found none")
    user, query = test.decisions.user[rows], test.decisions.query[rows]
    outcomes = dataset.data.outcomes
    effect, cost = (outcome_matrix(dataset.data, values)[query] for values in (outcomes.effect, outcomes.cost))
    tables = (test.rewards[rows], choice_shares(test.decisions)[rows], effect, cost)
    picks = {name: _measure(scores[rows], known[rows], *tables) for name, scores in router_scores.items()}
    for name, policy in make_policies(dataset).items():
        policy.fit(train, validation)
        picks[name] = _measure(policy.score(train, test.decisions)[rows], known[rows], *tables)
    data = dataset.data
    return SeedResult(data.users, data.tasks.ids, data.llms.ids, user, data.queries.task[query], query, picks)


def _measure(scores, candidates, rewards, shares, effect, cost) -> Selections:
    picked = metrics.choose(scores, candidates)
    reward, effect, cost = (metrics.values_of_selected(values, picked) for values in (rewards, effect, cost))
    return Selections(picked.astype(np.int32), reward, metrics.matches(picked, shares).astype(np.float32), effect, cost)
