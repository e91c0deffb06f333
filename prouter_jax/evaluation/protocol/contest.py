"""A contest on one split: the router is trained, every policy fitted; then all score the same decisions."""

import dataclasses
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from prouter_jax import metrics
from prouter_jax.config import NEW_USERS, ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays, choice_shares
from prouter_jax.dataset import Labelled, Prepared
from prouter_jax.evaluation.baselines.base import Policy, select
from prouter_jax.evaluation.baselines.registry import make_policies
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.definition import changed
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained
from prouter_jax.training.loop import make_run, restore_best, train

USER_BLIND = "user_blind"
SIMPLE = ("best_single", "best_per_user", "best_per_user_task", "ridge_true_preference")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Contest:
    """The trained router and the fitted policies.

    Attributes:
      prepared, history: the split that all learnt from, and its training decisions.
      tell: what policies are told of histories.
      seconds: that each took to learn.
    """

    prepared: Prepared
    history: Labelled
    tell: Callable[[Labelled], Labelled]
    trained: Trained
    policies: Mapping[str, Policy]
    seconds: Mapping[str, float]

    def scores(self, prepared: Prepared, decisions: DecisionArrays) -> dict[str, np.ndarray]:
        """Of every contestant, [decisions, llms], with the histories of `prepared`; nothing learns any more."""
        history = self.history if prepared is self.prepared else self.tell(prepared.labelled("train"))
        scorer = self.trained.apply(prepared.world)
        found = {
            ROUTER: score_decisions(scorer, prepared, decisions),
            USER_BLIND: score_decisions(scorer, prepared, decisions, blind=True),
        }
        return found | {name: policy.score(history, decisions) for name, policy in self.policies.items()}


def hold_contest(config: ExperimentConfig, prepared: Prepared, seed: int, settings: Mapping[str, Any]) -> Contest:
    """Trains and fits everybody on the training decisions of `prepared`.

    Where users are new and tell their choices, policies are told no more than these: neither the rewards of what was
    not chosen nor the preference that simulated users have. Elsewhere they are told every reward.

    Args:
      settings: what tuning chose, by name: of the router changes of `config`, of policies their arguments.
    """
    policies = {name: policy for name, policy in make_policies(prepared).items() if name in SIMPLE}
    policies |= make_tuned(prepared, {name: chosen for name, chosen in settings.items() if name != ROUTER})
    tell = every_reward
    if config.data.split in NEW_USERS and config.data.feedback == "choice":
        tell = choices_alone
        policies = {name: policy for name, policy in policies.items() if not name.endswith("true_preference")}
    history, validation = (tell(prepared.labelled(part)) for part in ("train", "validation"))
    seconds = {name: _timed(policy.fit, history, validation)[1] for name, policy in policies.items()}
    trained, seconds[ROUTER] = _timed(train_router, changed(config, settings.get(ROUTER, {})), prepared, seed)
    return Contest(prepared, history, tell, trained, policies, seconds)


def every_reward(labelled: Labelled) -> Labelled:
    """The decisions as they are."""
    return labelled


def choices_alone(labelled: Labelled) -> Labelled:
    """The same decisions, where a reward is the share of the choice."""
    shares = choice_shares(labelled.decisions)
    told = labelled.decisions.offered & shares.any(1, keepdims=True)
    return Labelled(labelled.decisions, np.where(told, shares, np.nan).astype(np.float32))


def train_router(config: ExperimentConfig, prepared: Prepared, seed: int) -> Trained:
    """The router of a configuration, trained on a split; its checkpoints do not outlive this."""
    if config.data.split in NEW_USERS:
        # new users show nothing while others train: their reward could not tell a good step from a bad one
        config = changed(config, {"train.eval_every_steps": config.train.num_train_steps})
    config = dataclasses.replace(config, seed=seed)
    run = make_run(config, prepared)
    with tempfile.TemporaryDirectory() as folder:
        train(config, prepared, pathlib.Path(folder))
        state = restore_best(config, run.network, pathlib.Path(folder))
    return Trained(config.model, run.network, state.params, float(state.temperature))


def _timed(function: Callable[..., _Result], *arguments) -> tuple[_Result, float]:
    begun = time.perf_counter()
    return function(*arguments), time.perf_counter() - begun


LOG_LOSS = "log_loss"


def judge(
    scores: Mapping[str, np.ndarray], validation: Labelled, test: Labelled, metric: str
) -> dict[str, dict[str, float]]:
    """Reward, accuracy (ties left out), top-2, log loss and calibration on test, and `metric` on validation, by name.

    All pick among the candidates whose reward is known. A score becomes a logit by one factor, fitted on validation.

    Args:
      scores: [validation decisions, then test decisions; llms].
    """
    cut = len(validation.decisions.user)
    found = {}
    for name, both in scores.items():
        factor = _temperature(both[:cut], validation)
        numbers = _numbers(both[cut:], test, factor)
        found[name] = numbers | {"validation": _numbers(both[:cut], validation, factor)[metric]}
    return found


def _temperature(scores: np.ndarray, labelled: Labelled) -> float:
    known, shares = ~np.isnan(labelled.rewards), choice_shares(labelled.decisions)
    rows = known.any(1) & shares.any(1)
    return metrics.fit_temperature(scores[rows], known[rows], shares[rows]) if rows.any() else math.nan


def _numbers(scores: np.ndarray, labelled: Labelled, factor: float) -> dict[str, float]:
    known = ~np.isnan(labelled.rewards)
    rows = np.flatnonzero(known.any(1))
    labelled, known, scores = select(labelled, rows), known[rows], scores[rows]
    shares, picked = choice_shares(labelled.decisions), metrics.choose(scores, known)
    numbers = {
        "reward": metrics.mean(metrics.of_picks(labelled.rewards, picked)),
        "accuracy": metrics.accuracy_without_ties(picked, shares),
        "top2": metrics.mean(metrics.top_k(scores, known, shares, 2)),
    }
    if math.isnan(factor):
        return numbers | {LOG_LOSS: math.nan, "calibration": math.nan}
    logits = factor * scores
    loss = metrics.mean(metrics.log_loss(logits, known, shares))
    return numbers | {LOG_LOSS: loss, "calibration": metrics.calibration_error(logits, known, shares)}
