"""Tuning of the baselines in `spaces`: random search, compared on validation decisions.

The defaults are replaced only by settings that are better by more than one standard error.
"""

import math
import time
import typing
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from prouter_jax import metrics
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import Policy, are_choices, select
from prouter_jax.evaluation.baselines.preference import has_outcomes
from prouter_jax.evaluation.baselines.spaces import BUILDERS, CHEAPER, SPACES
from prouter_jax.search import draw

_FINALISTS = 3
_MAX_SCORED = 20_000  # validation decisions on which a policy of `CHEAPER` is tuned


class Trial(typing.NamedTuple):
    """One configuration on the validation decisions.

    Attributes:
      settings: hyperparameters that differ from the defaults.
      reward: mean reward of the candidates with the highest scores.
      log_loss: mean log loss with scores as logits; NaN for feedback without choices.
      seconds: time to fit and score.
      rewards: mean reward for each query of the validation decisions.
      losses: mean log loss for each query of the validation decisions.
    """

    settings: dict[str, Any]
    reward: float
    log_loss: float
    seconds: float
    rewards: Float[np.ndarray, " queries"]
    losses: Float[np.ndarray, " queries"]


class Tuned(typing.NamedTuple):
    """Result of tuning a policy: the best settings, their validation reward, and all trials in order."""

    settings: dict[str, Any]
    reward: float
    trials: list[Trial]


def configurations(name: str, budget: int = 20, seed: int = 0) -> list[dict[str, Any]]:
    """Up to `budget` settings of a policy: its defaults (an empty dict), then random draws from its space.

    Raises:
      ValueError: if the policy is unknown or the budget is not positive.
    """
    _check_name(name)
    if budget < 1:
        raise ValueError(f"budget: expected at least 1 configuration, found {budget}")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    number = budget - 1 if SPACES[name] else 0
    return [{}, *(draw(SPACES[name], rng) for _ in range(number))]


def tune(name: str, dataset: Dataset, budget: int = 20, seed: int = 0, by_log_loss: bool = False) -> Tuned:
    """Fits each configuration on the training decisions and takes the best on validation, see `pick_best`.

    Slow policies are first compared with the settings of `CHEAPER` and on at most 20,000 validation decisions; the
    defaults and the best three of the others are then compared without them.

    Args:
      dataset: has the training and validation decisions.
      by_log_loss: compare by log loss, not by reward.

    Raises:
      ValueError: if the policy is unknown or no validation decision has an observed reward.
    """
    _check_name(name)
    on_validation, cheaper = _Validation(name, dataset, seed), CHEAPER.get(name, {})
    trials = [on_validation.trial(settings, cheaper) for settings in configurations(name, budget, seed)]
    if not cheaper:
        return pick_best(trials, by_log_loss)
    merit = _log_loss_first if by_log_loss else _reward_first
    finalists = [trials[0], *sorted(trials[1:], key=merit, reverse=True)[:_FINALISTS]]
    best = pick_best([on_validation.trial(trial.settings, {}) for trial in finalists], by_log_loss)
    return best._replace(trials=trials)


def pick_best(trials: list[Trial], by_log_loss: bool = False) -> Tuned:
    """The trial with the best reward, ties broken by log loss; with `by_log_loss` the other way round.

    One-standard-error rule: the first trial, the defaults, is kept unless the best is better by more than a standard
    error, paired by query. Among twenty configurations one is always better by chance.
    """
    best, first = max(trials, key=_log_loss_first if by_log_loss else _reward_first), trials[0]
    gain = first.losses - best.losses if by_log_loss else best.rewards - first.rewards
    gain = gain[~np.isnan(gain)]
    if len(gain) > 1 and gain.mean() <= gain.std(ddof=1) / math.sqrt(len(gain)):
        best = first
    return Tuned(best.settings, best.reward, trials)


def make_trial(
    settings: dict[str, Any], scores: Float[np.ndarray, "decisions llms"], scored: Labelled, begun: float
) -> Trial:
    """A trial from the scores of labelled decisions.

    Args:
      begun: `time.perf_counter()` at the start of the trial.
    """
    observed = ~np.isnan(scored.rewards)
    queries, query = np.unique(scored.decisions.query, return_inverse=True)
    rewards = metrics.values_of_selected(scored.rewards, metrics.choose(scores, observed))
    losses = np.full(len(rewards), np.nan)
    if are_choices(scored):
        losses = metrics.log_loss(scores, observed, np.nan_to_num(scored.rewards))
    by_query = (metrics.group_means(values, query, len(queries)) for values in (rewards, losses))
    means = metrics.mean(rewards), metrics.mean(losses)
    return Trial(settings, *means, time.perf_counter() - begun, *by_query)


def make_tuned(dataset: Dataset, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Policy]:
    """The named policies with the given settings.

    Raises:
      ValueError: if a policy is unknown.
    """
    for name in settings:
        _check_name(name)
    return {name: BUILDERS[name](dataset, **chosen) for name, chosen in settings.items()}


def applicable(dataset: Dataset) -> list[str]:
    """Names of the builders that apply to the dataset: some need effects and costs, two also true preferences."""
    outcomes, preference = has_outcomes(dataset), dataset.data.users.preference
    needs = {"inferred_preference": outcomes}
    for name in ("boosting_true_preference", "task_means_true_preference"):
        needs[name] = outcomes and not np.isnan(preference).any()
    return [name for name in BUILDERS if needs.get(name, True)]


def _reward_first(trial: Trial) -> tuple[float, float]:
    return trial.reward, -float(np.nan_to_num(trial.log_loss))


def _log_loss_first(trial: Trial) -> tuple[float, float]:
    return -float(np.nan_to_num(trial.log_loss)), trial.reward


class _Validation:
    """Fits configurations of one policy on training decisions and evaluates them on validation decisions."""

    def __init__(self, name: str, dataset: Dataset, seed: int):
        self._name, self._dataset = name, dataset
        self._train, self._validation = (dataset.labelled(part) for part in ("train", "validation"))
        rows = np.flatnonzero(~np.isnan(self._validation.rewards).all(1))
        if not len(rows):
            raise ValueError("validation decisions: expected an observed reward, found none")
        if name in CHEAPER and len(rows) > _MAX_SCORED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _MAX_SCORED, replace=False))
        self._scored = select(self._validation, rows)

    def trial(self, settings: dict[str, Any], cheaper: Mapping[str, Any]) -> Trial:
        """A trial of `settings`, with `cheaper` settings in place of some."""
        begun = time.perf_counter()
        policy = BUILDERS[self._name](self._dataset, **{**settings, **cheaper})
        policy.fit(self._train, self._validation)
        return make_trial(settings, policy.score(self._train, self._scored.decisions), self._scored, begun)


def _check_name(name: str) -> None:
    if name not in BUILDERS:
        raise ValueError(f"policy: expected one of {', '.join(BUILDERS)}, found {name!r}")
