"""All baselines with hyperparameters, by name, and the space in which each is searched."""

from collections.abc import Callable, Mapping
from typing import Any

from prouter_jax.evaluation.baselines.agreeing_users import AgreeingUsers
from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.boosting import Boosting, BoostingTruePreference
from prouter_jax.evaluation.baselines.bradley_terry import BradleyTerry, BradleyTerryTask
from prouter_jax.evaluation.baselines.cascade import Cascade, Switch
from prouter_jax.evaluation.baselines.contrastive import Contrastive
from prouter_jax.evaluation.baselines.empirical_bayes import EmpiricalBayes
from prouter_jax.evaluation.baselines.factorisation import Factorisation
from prouter_jax.evaluation.baselines.factorisation_kernel import FactorisationKernel
from prouter_jax.evaluation.baselines.forecast import KernelRidge, Ridge
from prouter_jax.evaluation.baselines.graph_router import GraphRouter
from prouter_jax.evaluation.baselines.implicit_als import ImplicitAls
from prouter_jax.evaluation.baselines.mlp import MlpPolicy
from prouter_jax.evaluation.baselines.neighbours import Neighbours, NeighboursPerUser
from prouter_jax.evaluation.baselines.personal_bradley_terry import PersonalBradleyTerry
from prouter_jax.evaluation.baselines.preference import InferredPreference, TaskMeansTruePreference
from prouter_jax.evaluation.baselines.simple import SmoothedFavourite, SmoothedUserTask
from prouter_jax.search import Space, log_uniform, one_of, uniform

_STRENGTHS = {"own_strength": log_uniform(0.3, 100), "query_strength": log_uniform(1, 100)}
_NEAR = {
    "number": one_of(10, 20, 50, 100, 200),
    "sharpness": log_uniform(1, 50),
    "task_bonus": one_of(0.0, 0.1, 0.3, 1.0),
}
_TEXT = {"penalty": log_uniform(0.1, 1000), "text_weight": log_uniform(0.03, 3)}
_KERNEL = {**_TEXT, "width": log_uniform(0.3, 3)}
_FACTORS = {
    "rank": one_of(0, 4, 8, 12, 16, 24, 32),
    "penalty": log_uniform(0.3, 20),
    "user_penalty": log_uniform(0.03, 10),
    "query_penalty": log_uniform(0.03, 10),
    "side_penalty": log_uniform(0.3, 30),
}
_TREES = {
    "rounds": one_of(30, 50, 100, 150),
    "leaves": one_of(3, 5, 7, 15),
    "learning_rate": log_uniform(0.02, 0.15),
    "least_rows": one_of(20, 50, 100, 300),
    "components": one_of(4, 8, 16, 32),
}

_NETWORK = {
    "text_weight": log_uniform(0.03, 1),
    "learning_rate": log_uniform(0.001, 0.01),
    "weight_decay": log_uniform(0.01, 3),
    "steps": one_of(30, 100, 300),
}

# Search space of each baseline in `BUILDERS`; keys are arguments of its constructor. Tuning sees users with all their
# training decisions, so settings that decide what a short history says have narrow ranges in the baselines that are
# best with short histories.
SPACES: Mapping[str, Space] = {
    "smoothed_favourite": {"strength": log_uniform(0.1, 300)},
    "smoothed_user_task": {"strength": log_uniform(0.1, 100), "task_strength": log_uniform(1, 1000)},
    "empirical_bayes": {
        "strength": log_uniform(0.3, 100),
        "own_strength": log_uniform(3, 10_000),
        "temperature": log_uniform(0.3, 10),
        "cap": log_uniform(10, 1000),
    },
    "inferred_preference": {"task_strength": log_uniform(1, 1000), "sharpness": log_uniform(3, 100)},
    "task_means_true_preference": {"task_strength": log_uniform(1, 1000)},
    "neighbours": {**_NEAR, "trust": uniform(0.2, 1), **_STRENGTHS},
    "neighbours_per_user": {**_NEAR, "strength": log_uniform(0.3, 100), "near_strength": log_uniform(1, 300)},
    "ridge": {**_TEXT, **_STRENGTHS},
    "kernel_ridge": {**_KERNEL, **_STRENGTHS},
    "factorisation": {**_FACTORS, "task_strength": log_uniform(1, 1000)},
    "factorisation_kernel": {
        **_FACTORS,
        "rank": one_of(4, 8, 12, 16, 24, 32),
        "user_penalty": log_uniform(10, 100),
        "trust": log_uniform(2, 6),
        "kernel_penalty": log_uniform(0.3, 1000),
        "text_weight": log_uniform(0.3, 3),
        "width": log_uniform(0.3, 3),
    },
    "agreeing_users": {
        **_KERNEL,
        "strength": log_uniform(1, 100),
        "near_width": log_uniform(0.1, 1),
        "near_strength": log_uniform(0.3, 30),
        "temperature": log_uniform(0.2, 0.8),
        "personal_penalty": log_uniform(3, 1000),
        "own_strength": log_uniform(10, 1000),
        "query_strength": log_uniform(3, 300),
    },
    "implicit_als": {
        "rank": one_of(4, 8, 12, 16, 24, 32),
        "confidence": log_uniform(4, 10),
        "penalty": log_uniform(1.5, 4),
        "kernel_penalty": log_uniform(0.3, 100),
    },
    "boosting": _TREES,
    "boosting_true_preference": _TREES,
    "mlp": {
        "hidden": one_of(16, 32, 64, 128),
        "dropout": uniform(0, 0.6),
        "weight_decay": log_uniform(0.01, 3),
        "learning_rate": log_uniform(0.001, 0.01),
        "steps": one_of(100, 200, 400),
        "components": one_of(4, 8, 16, 32),
    },
    "bradley_terry": {"penalty": log_uniform(0.01, 100)},
    "bradley_terry_task": {"penalty": log_uniform(0.01, 100), "task_penalty": log_uniform(0.1, 1000)},
    "personal_bradley_terry": {
        "penalty": log_uniform(0.01, 100),
        "llm_penalty": log_uniform(0.3, 100),
        "side_penalty": log_uniform(0.1, 30),
        "length_penalty": log_uniform(1, 1000),
    },
    "cascade": {"length": one_of(2, 3, 4), **_TEXT},
    "switch": _TEXT,
    "contrastive": {
        "dim": one_of(16, 32, 64),
        "best": one_of(1, 2, 3),
        "worst": one_of(2, 3, 5, 9),
        "temperature": log_uniform(0.05, 1),
        "group_weight": one_of(0.0, 0.1, 0.3, 1.0),
        **_NETWORK,
    },
    "graph_router": {"hidden": one_of(16, 32, 64), **_NETWORK},
}

# Settings that make the search of a slow policy cheaper; the best configurations are then fitted without them.
CHEAPER: Mapping[str, Mapping[str, Any]] = {
    "factorisation": {"steps": 30},
    "factorisation_kernel": {"steps": 30},
    "implicit_als": {"steps": 3},
    "boosting": {"most_rows": 60_000},
    "boosting_true_preference": {"most_rows": 60_000},
    "mlp": {"most_rows": 30_000},
}

_KINDS = (
    *(SmoothedFavourite, SmoothedUserTask, EmpiricalBayes, AgreeingUsers, InferredPreference, TaskMeansTruePreference),
    *(Neighbours, NeighboursPerUser, Ridge, KernelRidge, Factorisation, FactorisationKernel, ImplicitAls),
    *(Boosting, BoostingTruePreference, MlpPolicy),
    *(BradleyTerry, BradleyTerryTask, PersonalBradleyTerry, Cascade, Switch, Contrastive, GraphRouter),
)
BUILDERS: Mapping[str, Callable[..., Policy]] = {kind.name: kind for kind in _KINDS}
