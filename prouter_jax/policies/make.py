"""The policies that need no settings, for whatever data."""

import numpy as np

from prouter_jax import metrics
from prouter_jax.decisions import build_rewards
from prouter_jax.policies.policy import Policy
from prouter_jax.policies.ridge import RidgeTruePreference
from prouter_jax.policies.simple import BestPerUser, BestPerUserTask, BestSingle, Oracle, Random, SameForAll
from prouter_jax.prepare import Prepared


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
