"""All baselines with hyperparameters to tune, by name; `untuned` makes those without."""

from collections.abc import Callable, Mapping

import numpy as np

from prouter_jax.dataset import Dataset
from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.boosting import Boosting, BoostingTruePreference
from prouter_jax.evaluation.baselines.bradley_terry import BradleyTerry, BradleyTerryTask
from prouter_jax.evaluation.baselines.cascade import Cascade, Switch
from prouter_jax.evaluation.baselines.empirical_bayes import EmpiricalBayes
from prouter_jax.evaluation.baselines.factorisation import Factorisation
from prouter_jax.evaluation.baselines.mlp import MlpPolicy
from prouter_jax.evaluation.baselines.neighbours import Neighbours, NeighboursPerUser
from prouter_jax.evaluation.baselines.preference import InferredPreference, has_outcomes
from prouter_jax.evaluation.baselines.ridge import KernelRidge, Ridge
from prouter_jax.evaluation.baselines.simple import SmoothedFavourite, SmoothedUserTask

_KINDS = (
    *(SmoothedFavourite, SmoothedUserTask, EmpiricalBayes, InferredPreference, Neighbours, NeighboursPerUser),
    *(Ridge, KernelRidge, Factorisation, Boosting, BoostingTruePreference, MlpPolicy),
    *(BradleyTerry, BradleyTerryTask, Cascade, Switch),
)
BUILDERS: Mapping[str, Callable[..., Policy]] = {kind.name: kind for kind in _KINDS}


def applicable(dataset: Dataset) -> list[str]:
    """Names of the builders that apply to the dataset: some need effects and costs, one also true preferences."""
    outcomes, preference = has_outcomes(dataset), dataset.data.users.preference
    needs = {"inferred_preference": outcomes}
    needs["boosting_true_preference"] = outcomes and not np.isnan(preference).any()
    return [name for name in BUILDERS if needs.get(name, True)]
