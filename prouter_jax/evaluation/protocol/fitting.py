"""Trains the router and fits the baselines on one split, scores decisions with all of them, and evaluates the scores.

A policy gives each candidate LLM of a decision a score and picks the best-scored one.
"""

import dataclasses
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from prouter_jax import metrics
from prouter_jax.config import NEW_USERS, ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays, choice_shares
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import Policy, select
from prouter_jax.evaluation.baselines.simple import make_policies
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.definition import changed
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained
from prouter_jax.training.loop import train
from prouter_jax.training.run import Run, make_run, restore_best
from prouter_jax.training.state import TrainState

USER_BLIND, LOG_LOSS = "user_blind", "log_loss"
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
    return Trained(config.model, run.network, state.params, float(state.temperature))


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


def evaluate_scores(
    scores: Mapping[str, Float[np.ndarray, "both llms"]], validation: Labelled, test: Labelled, metric: str
) -> dict[str, dict[str, float]]:
    """Metrics of scores on test decisions, and `metric` on validation decisions under "validation", by name.

    The pick is the best-scored candidate with a known reward. Accuracy leaves ties out. Logits for log loss and
    calibration are the scores times one factor, fitted on validation.

    Args:
      scores: scores by policy; the rows are the validation decisions, then the test decisions.
      metric: one of the returned metrics.

    Returns:
      For each policy "reward", "accuracy", "top2", "log_loss", "calibration" and "validation"; NaN if not measurable.
    """
    cut = len(validation.decisions.user)
    found = {}
    for name, both in scores.items():
        factor = _temperature(both[:cut], validation)
        validated = _metrics(both[:cut], validation, factor)[metric]
        found[name] = _metrics(both[cut:], test, factor) | {"validation": validated}
    return found


def _temperature(scores: np.ndarray, labelled: Labelled) -> float:
    known, shares = ~np.isnan(labelled.rewards), choice_shares(labelled.decisions)
    rows = known.any(1) & shares.any(1)
    return metrics.fit_temperature(scores[rows], known[rows], shares[rows]) if rows.any() else math.nan


def _metrics(scores: np.ndarray, labelled: Labelled, factor: float) -> dict[str, float]:
    known = ~np.isnan(labelled.rewards)
    rows = np.flatnonzero(known.any(1))
    labelled, known, scores = select(labelled, rows), known[rows], scores[rows]
    shares, picked = choice_shares(labelled.decisions), metrics.choose(scores, known)
    numbers = {
        "reward": metrics.mean(metrics.values_of_selected(labelled.rewards, picked)),
        "accuracy": metrics.accuracy_without_ties(picked, shares),
        "top2": metrics.mean(metrics.top_k(scores, known, shares, 2)),
    }
    if math.isnan(factor):
        return numbers | {LOG_LOSS: math.nan, "calibration": math.nan}
    logits = factor * scores
    loss = metrics.mean(metrics.log_loss(logits, known, shares))
    return numbers | {LOG_LOSS: loss, "calibration": metrics.calibration_error(logits, known, shares)}


def _timed(function: Callable[..., _Result], *arguments) -> tuple[_Result, float]:
    begun = time.perf_counter()
    return function(*arguments), time.perf_counter() - begun
