"""The baselines without hyperparameters, which every report compares with; those with some are in `registry`."""

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import build_rewards
from prouter_jax.dataset import Dataset
from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.ridge import RidgeTruePreference
from prouter_jax.evaluation.baselines.simple import BestPerUser, BestPerUserTask, BestSingle, FixedScores


def make_policies(dataset: Dataset) -> dict[str, Policy]:
    """Baselines without hyperparameters that apply to the dataset, by name; some need effects, costs or preferences."""
    seen, data = dataset.world.interactions, dataset.data
    effect, cost = (_llm_means(values, dataset) for values in (seen.outcomes.effect, seen.outcomes.cost))
    policies: list[Policy] = [FixedScores("random", lambda d: np.random.default_rng(0).random(d.offered.shape))]
    policies += [BestSingle(), BestPerUser(len(data.users.ids))]
    policies.append(BestPerUserTask(len(data.users.ids), data.queries.task, len(data.tasks.ids)))
    if not np.isnan(cost).all():
        policies.append(FixedScores("cheapest", lambda decisions: -cost))
    if not np.isnan(effect).all():
        policies.append(FixedScores("strongest", lambda decisions: effect))
    if not np.isnan(effect).all() and not np.isnan(cost).all() and not np.isnan(data.users.preference).any():
        policies.append(RidgeTruePreference(dataset))
    policies.append(FixedScores("oracle", lambda decisions: build_rewards(data, dataset.truth_scale, decisions)))
    return {policy.name: policy for policy in policies}


def _llm_means(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Mean of a column of the training outcomes for each LLM, float64 [llms]."""
    seen = dataset.world.interactions
    return metrics.group_means(values, seen.outcomes.llm, len(seen.llms.ids))
