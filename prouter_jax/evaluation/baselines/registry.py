"""The policies that have settings, and where good values of them are looked for."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import build_rewards
from prouter_jax.dataset import Prepared
from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.boosting import Boosting, BoostingTruePreference
from prouter_jax.evaluation.baselines.bradley_terry import BradleyTerry, BradleyTerryTask
from prouter_jax.evaluation.baselines.cascade import Cascade, Switch
from prouter_jax.evaluation.baselines.factorisation import Factorisation
from prouter_jax.evaluation.baselines.forecast import InferredPreference, has_outcomes
from prouter_jax.evaluation.baselines.mlp import MlpPolicy
from prouter_jax.evaluation.baselines.neighbours import EmpiricalBayes, Neighbours, NeighboursPerUser
from prouter_jax.evaluation.baselines.ridge import KernelRidge, Ridge, RidgeTruePreference
from prouter_jax.evaluation.baselines.simple import (
    BestPerUser,
    BestPerUserTask,
    BestSingle,
    Oracle,
    Random,
    SameForAll,
    SmoothedFavourite,
    SmoothedUserTask,
)

Draw = Callable[[np.random.Generator], Any]

_KINDS = (
    *(SmoothedFavourite, SmoothedUserTask, EmpiricalBayes, InferredPreference, Neighbours, NeighboursPerUser),
    *(Ridge, KernelRidge, Factorisation, Boosting, BoostingTruePreference, MlpPolicy),
    *(BradleyTerry, BradleyTerryTask, Cascade, Switch),
)
BUILDERS: Mapping[str, Callable[..., Policy]] = {kind.name: kind for kind in _KINDS}


def applicable(prepared: Prepared) -> list[str]:
    """Names of the policies that apply to the data: some need effects and costs, one the true preferences."""
    outcomes, preference = has_outcomes(prepared), prepared.data.users.preference
    needs = {"inferred_preference": outcomes}
    needs["boosting_true_preference"] = outcomes and not np.isnan(preference).any()
    return [name for name in BUILDERS if needs.get(name, True)]


def _log(low: float, high: float) -> Draw:
    """Evenly over orders of magnitude."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _even(low: float, high: float) -> Draw:
    return lambda rng: float(rng.uniform(low, high))


def _one_of(*values: Any) -> Draw:
    return lambda rng: values[int(rng.integers(len(values)))]


_STRENGTHS = {"own_strength": _log(0.3, 100), "query_strength": _log(1, 100)}
_NEAR = {"number": _one_of(10, 20, 50, 100, 200), "sharpness": _log(1, 50), "task_bonus": _one_of(0.0, 0.1, 0.3, 1.0)}
_TEXT = {"penalty": _log(0.1, 1000), "text_weight": _log(0.03, 3)}
_TREES = {
    "rounds": _one_of(30, 50, 100, 150),
    "leaves": _one_of(3, 5, 7, 15),
    "learning_rate": _log(0.02, 0.15),
    "least_rows": _one_of(20, 50, 100, 300),
    "components": _one_of(4, 8, 16, 32),
}

SPACES: Mapping[str, Mapping[str, Draw]] = {
    "smoothed_favourite": {"strength": _log(0.1, 300)},
    "smoothed_user_task": {"strength": _log(0.1, 100), "task_strength": _log(1, 1000)},
    "empirical_bayes": {
        "strength": _log(0.3, 100),
        "own_strength": _log(3, 10_000),
        "temperature": _log(0.3, 10),
        "cap": _log(10, 1000),
    },
    "inferred_preference": {"task_strength": _log(1, 1000), "sharpness": _log(3, 100)},
    "neighbours": {**_NEAR, "trust": _even(0.2, 1), **_STRENGTHS},
    "neighbours_per_user": {**_NEAR, "strength": _log(0.3, 100), "near_strength": _log(1, 300)},
    "ridge": {**_TEXT, **_STRENGTHS},
    "kernel_ridge": {**_TEXT, "width": _log(0.3, 3), **_STRENGTHS},
    "factorisation": {
        "rank": _one_of(0, 4, 8, 12, 16, 24, 32),
        "penalty": _log(0.3, 20),
        "user_penalty": _log(0.03, 10),
        "query_penalty": _log(0.03, 10),
        "side_penalty": _log(0.3, 30),
        "task_strength": _log(1, 1000),
    },
    "boosting": _TREES,
    "boosting_true_preference": _TREES,
    "mlp": {
        "hidden": _one_of(16, 32, 64, 128),
        "dropout": _even(0, 0.6),
        "weight_decay": _log(0.01, 3),
        "learning_rate": _log(0.001, 0.01),
        "steps": _one_of(100, 200, 400),
        "components": _one_of(4, 8, 16, 32),
    },
    "bradley_terry": {"penalty": _log(0.01, 100)},
    "bradley_terry_task": {"penalty": _log(0.01, 100), "task_penalty": _log(0.1, 1000)},
    "cascade": {"length": _one_of(2, 3, 4), **_TEXT},
    "switch": _TEXT,
}

# What stands in for these settings while a slow policy is tuned; the best configurations are then fitted in full.
CHEAPER: Mapping[str, Mapping[str, Any]] = {
    "factorisation": {"steps": 30},
    "boosting": {"most_rows": 60_000},
    "boosting_true_preference": {"most_rows": 60_000},
    "mlp": {"most_rows": 30_000},
}


def make_policies(prepared: Prepared) -> dict[str, Policy]:
    """The policies that apply to the data, by name: without costs there is no cheapest LLM, and so on."""
    seen, data = prepared.world.interactions, prepared.data
    task = data.queries.task
    effect, cost = (_llm_means(values, prepared) for values in (seen.outcomes.effect, seen.outcomes.cost))
    policies: list[Policy] = [Random(), BestSingle(), BestPerUser(len(data.users.ids))]
    policies.append(BestPerUserTask(len(data.users.ids), task, len(data.tasks.ids)))
    if not np.isnan(cost).all():
        policies.append(SameForAll("cheapest", -cost))
    if not np.isnan(effect).all():
        policies.append(SameForAll("strongest", effect))
    if not np.isnan(effect).all() and not np.isnan(cost).all() and not np.isnan(data.users.preference).any():
        policies.append(RidgeTruePreference(prepared))
    policies.append(Oracle(lambda decisions: build_rewards(data, prepared.truth_scale, decisions)))
    return {policy.name: policy for policy in policies}


def _llm_means(values: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Mean of a column of the training outcomes for each LLM, float64 [llms]."""
    seen = prepared.world.interactions
    return metrics.group_means(values, seen.outcomes.llm, len(seen.llms.ids))
