"""Evaluates the router and all baselines on the test decisions of one split."""

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
    """The picks of one policy.

    Attributes:
      llm: LLM row of each pick, int32 [decisions].
      reward, effect: of each pick, float [decisions].
      right: 1 if the pick is the user's choice, else 0; NaN without a choice; float32 [decisions].
      cost: of each pick in USD, float [decisions].
    """

    llm: np.ndarray
    reward: np.ndarray
    right: np.ndarray
    effect: np.ndarray
    cost: np.ndarray


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """The test decisions of one split and the picks of every policy.

    Attributes:
      users: all users of the data.
      task_ids, llm_ids: names of tasks and LLMs.
      user, task, query: rows of each test decision, int [decisions]; task -1 for none.
      picks: picks of each policy among the candidates of known reward, by its name.
      decision: rows of the data's decisions, int [decisions]; None if unknown.
      selected: LLM that each policy picks among all candidates, int [decisions], by its name; without policies that
        need a reward of each.
    """

    users: Users
    task_ids: np.ndarray
    llm_ids: np.ndarray
    user: np.ndarray
    task: np.ndarray
    query: np.ndarray
    picks: Mapping[str, Selections]
    decision: np.ndarray | None = None
    selected: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def evaluate_seed(dataset: Dataset, router_scores: Mapping[str, np.ndarray]) -> SeedResult:
    """Evaluates router scores and every applicable baseline on the test decisions, with the same code.

    Every policy picks among the candidates with a known reward; decisions without such a candidate are left out.

    Args:
      router_scores: scores of `dataset.labelled("test")` by policy, such as "router"; float [decisions, llms].

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
    scores = {name: found[rows] for name, found in router_scores.items()}
    for name, policy in make_policies(dataset).items():
        policy.fit(train, validation)
        scores[name] = policy.score(train, test.decisions)[rows]
    picks = {name: _measure(found, known[rows], *tables) for name, found in scores.items()}
    offered, data = test.decisions.offered[rows], dataset.data
    selected = {name: metrics.choose(found, offered) for name, found in scores.items() if _is_known(found, offered)}
    names = data.users, data.tasks.ids, data.llms.ids
    decision = np.asarray(dataset.parts.test)[rows]
    return SeedResult(*names, user, data.queries.task[query], query, picks, decision, selected)


def _is_known(scores: np.ndarray, offered: np.ndarray) -> bool:
    return not np.isnan(scores[offered]).any()


def _measure(scores, candidates, rewards, shares, effect, cost) -> Selections:
    picked = metrics.choose(scores, candidates)
    reward, effect, cost = (metrics.values_of_selected(values, picked) for values in (rewards, effect, cost))
    return Selections(picked.astype(np.int32), reward, metrics.matches(picked, shares).astype(np.float32), effect, cost)
