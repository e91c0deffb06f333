"""Trains the router and fits the baselines on one split, and scores decisions with all of them.

A policy gives each candidate LLM of a decision a score and picks the best-scored one.
"""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from prouter_jax.config import NEW_USERS, ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays, choice_shares
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.simple import make_policies
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.definition import changed
from prouter_jax.evaluation.protocol.scoring import USER_BLIND
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained
from prouter_jax.training.loop import train
from prouter_jax.training.run import Run, make_run, restore_best
from prouter_jax.training.state import TrainState

UNTUNED = ("best_single", "best_per_user", "best_per_user_task", "ridge_true_preference")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class FittedPolicies:
    """The trained router and the fitted baselines of one split.

    Attributes:
      dataset: the split on which all were fitted.
      history: its training decisions, with the rewards that the baselines see.
      visible: replaces the rewards of decisions by those that the baselines see, see `fit_all`.
      trained: the router.
      policies: the baselines by name.
      seconds: fitting time by name.
    """

    dataset: Dataset
    history: Labelled
    visible: Callable[[Labelled], Labelled]
    trained: Trained
    policies: Mapping[str, Policy]
    seconds: Mapping[str, float]

    @property
    def temperatures(self) -> dict[str, float]:
        """The factor on the scores with which the router serves its probabilities, by policy."""
        return dict.fromkeys((ROUTER, USER_BLIND), self.trained.temperature)

    def scores(self, dataset: Dataset, decisions: DecisionArrays) -> dict[str, Float[np.ndarray, "decisions llms"]]:
        """Scores of the router, of the router without histories ("user_blind") and of each baseline, by name.

        Nothing is fitted again.

        Args:
          dataset: the split whose training decisions are the histories.
        """
        history = self.history if dataset is self.dataset else self.visible(dataset.labelled("train"))
        scorer = self.trained.apply(dataset.world)
        found = {
            ROUTER: score_decisions(scorer, dataset, decisions),
            USER_BLIND: score_decisions(scorer, dataset, decisions, blind=True),
        }
        return found | {name: policy.score(history, decisions) for name, policy in self.policies.items()}


def fit_all(config: ExperimentConfig, dataset: Dataset, seed: int, settings: Mapping[str, Any]) -> FittedPolicies:
    """Trains the router and fits the baselines on the training decisions of `dataset`.

    If users are new and their feedback is a choice, baselines see only the choices: neither rewards of the answers that
    were not chosen nor simulated users' true preferences. Otherwise they see every reward.

    Args:
      settings: tuned hyperparameters by name: changes of `config` for the router, arguments for baselines.
    """
    policies = {name: policy for name, policy in make_policies(dataset).items() if name in UNTUNED}
    policies |= make_tuned(dataset, {name: chosen for name, chosen in settings.items() if name != ROUTER})
    visible = all_rewards
    if config.data.split in NEW_USERS and config.data.feedback == "choice":
        visible = choices_only
        policies = {name: policy for name, policy in policies.items() if not name.endswith("true_preference")}
    history, validation = (visible(dataset.labelled(part)) for part in ("train", "validation"))
    seconds = {name: _timed(policy.fit, history, validation)[1] for name, policy in policies.items()}
    trained, seconds[ROUTER] = _timed(train_router, changed(config, settings.get(ROUTER, {})), dataset, seed)
    return FittedPolicies(dataset, history, visible, trained, policies, seconds)


def all_rewards(labelled: Labelled) -> Labelled:
    """The decisions unchanged."""
    return labelled


def choices_only(labelled: Labelled) -> Labelled:
    """The same decisions, with each answer's share of the choices as its reward."""
    shares = choice_shares(labelled.decisions)
    known = labelled.decisions.offered & shares.any(1, keepdims=True)
    return Labelled(labelled.decisions, np.where(known, shares, np.nan).astype(np.float32))


def train_router(config: ExperimentConfig, dataset: Dataset, seed: int) -> Trained:
    """The router of a configuration, trained on a split."""
    run, state = train_state(config, dataset, seed)
    queries = len(dataset.world.interactions.queries.ids)
    return Trained(config.model, run.network, state.params, float(state.temperature), queries)


def train_state(config: ExperimentConfig, dataset: Dataset, seed: int) -> tuple[Run, TrainState]:
    """The run of a configuration on a split, and its best state; its checkpoints are in a temporary folder."""
    if config.data.split in NEW_USERS:
        # Validation decisions of users without history cannot rank training steps: the last step is taken.
        config = changed(config, {"train.eval_every_steps": config.train.num_train_steps})
    config = dataclasses.replace(config, seed=seed)
    run = make_run(config, dataset)
    with tempfile.TemporaryDirectory() as folder:
        train(config, dataset, pathlib.Path(folder))
        return run, restore_best(config, run.network, pathlib.Path(folder))


def _timed(function: Callable[..., _Result], *arguments) -> tuple[_Result, float]:
    begun = time.perf_counter()
    return function(*arguments), time.perf_counter() - begun
