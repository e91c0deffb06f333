"""Measurements of the protocol, each of one seed: functions of plain arguments, for `definition.Unit`."""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from prouter_jax import metrics
from prouter_jax.config import ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.data.splits import find_llms
from prouter_jax.dataset import Dataset, Labelled, prepare_dataset
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.comparison import (
    USER_BLIND,
    Comparison,
    evaluate_scores,
    fit_all,
    train_router,
)
from prouter_jax.evaluation.protocol.definition import cached_source, changed, from_arguments
from prouter_jax.evaluation.protocol.table import ORACLE, sign
from prouter_jax.evaluation.protocol.tuning import Tuning, tuned_settings
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained

ALL = 10**9  # decisions of each new user in the history: every one there is
_NEVER = -1e6  # score of an LLM that must not be chosen
# Fitted again at every k; other baselines would take too long.
_FITTED_AGAIN = ("smoothed_favourite", "empirical_bayes", "neighbours_per_user", "kernel_ridge", "bradley_terry")


@dataclasses.dataclass(frozen=True)
class Folders:
    """Folders of the data sets and of the tuned settings."""

    data: pathlib.Path
    tuned: pathlib.Path


def measure_split(setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, folders: Folders) -> dict:
    """The router and all baselines on the test decisions of one split."""
    fitted = _fit(config, tuning, seed, folders)
    return {"setting": setting, "k": None, "seed": seed, "metric": metric} | _measure(fitted, fitted.dataset, metric)


def measure_new_users(
    setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, ks: Sequence[int], folders: Folders
) -> list[dict]:
    """The router and all baselines on the decisions of users absent from training, with histories of k decisions.

    "full" is the best score of any of them with all the new users' decisions on training queries as histories.
    """
    fitted = _fit(config, tuning, seed, folders)
    whole = from_arguments(config, folders.data)
    splits = {k: _split_given(whole, k, seed) if k else fitted.dataset for k in (*ks, ALL)}
    found = {k: _measure(fitted, dataset, metric) for k, dataset in splits.items()}
    scores = {name: numbers[metric] for name, numbers in found[ALL]["policies"].items() if name != ORACLE}
    known = [score for score in scores.values() if not math.isnan(score)]
    ends = {"blind": scores[USER_BLIND], "full": max(known, key=lambda score: sign(metric) * score)}
    common = {"setting": setting, "seed": seed, "metric": metric} | ends
    return [common | {"k": None if k == ALL else k} | found[k] for k in ks]


def measure_new_llms(
    setting: str, config: Mapping, tuning: Mapping, seed: int, ks: Sequence[int], folders: Folders
) -> list[dict]:
    """The router and baselines with LLMs absent from training, after k decisions among which one of them was offered.

    "blind" is the score of the router without the new LLMs, "full" that of a router trained with all LLMs.
    """
    whole = from_arguments(config, folders.data)
    settings = _settings(tuning, folders)
    again = {name: settings[name] for name in _FITTED_AGAIN if name in settings}
    dataset = _split_given(whole, 0, seed)
    fitted = fit_all(whole, dataset, seed, {ROUTER: settings[ROUTER]} | again)
    found = []
    for k in ks:
        given = _split_given(whole, k, seed) if k else dataset
        policies = make_tuned(given, again)
        for policy in policies.values():
            policy.fit(given.labelled("train"), given.labelled("validation"))
        found.append(_measure(dataclasses.replace(fitted, policies=policies), given, "reward"))
    blind = _router_reward(fitted.trained, dataset, find_llms(dataset.data.llms.ids, whole.data.new_llms))
    ends = {"blind": blind, "full": _trained_with_all(json.dumps(config), tuning, seed, folders)}
    common = {"setting": setting, "seed": seed, "metric": "reward"} | ends
    return [common | {"k": k} | numbers for k, numbers in zip(ks, found, strict=True)]


def measure_parts(setting: str, config: Mapping, variants: Mapping[str, Mapping], seed: int, folders: Folders) -> dict:
    """The router and its variants, each with some fields of the configuration changed: an ablation."""
    whole = from_arguments(config, folders.data)
    dataset = prepare_dataset(cached_source(whole.data), whole.data, seed)
    scores = {}
    both = _both(dataset)
    for name, changes in {ROUTER: {}, **variants}.items():
        one = changed(whole, changes)
        other = dataset if one.data == whole.data else prepare_dataset(cached_source(one.data), one.data, seed)
        scores[name] = score_decisions(train_router(one, other, seed).apply(other.world), other, both)
    numbers = evaluate_scores(scores, dataset.labelled("validation"), dataset.labelled("test"), "reward")
    return {"setting": setting, "k": None, "seed": seed, "metric": "reward", "policies": numbers}


def _fit(config: Mapping, tuning: Mapping, seed: int, folders: Folders) -> Comparison:
    whole = from_arguments(config, folders.data)
    dataset = prepare_dataset(cached_source(whole.data), whole.data, seed)
    return fit_all(whole, dataset, seed, _settings(tuning, folders))


def _settings(tuning: Mapping, folders: Folders) -> dict[str, dict[str, Any]]:
    return tuned_settings(Tuning(**{**tuning, "policies": tuple(tuning["policies"])}), folders.data, folders.tuned)


def _split_given(config: ExperimentConfig, k: int, seed: int) -> Dataset:
    """The split with k decisions of each new user, or among new LLMs, in the histories."""
    return prepare_dataset(cached_source(config.data), dataclasses.replace(config.data, given=k), seed)


def _measure(fitted: Comparison, dataset: Dataset, metric: str) -> dict:
    """ "policies" and "facts" of a measurement, with the histories of `prepared`."""
    validation, test = dataset.labelled("validation"), dataset.labelled("test")
    scores = fitted.scores(dataset, _both(dataset))
    numbers: dict[str, dict] = dict(evaluate_scores(scores, validation, test, metric))
    for name in numbers.keys() & fitted.seconds.keys():
        numbers[name]["seconds"] = fitted.seconds[name]
    if not np.isnan(dataset.data.users.preference).any():
        numbers[ORACLE] = {"reward": metrics.mean(np.fmax.reduce(test.rewards, axis=1))}
    return {"policies": numbers, "facts": {"test decisions": len(test.decisions.user)}}


def _both(dataset: Dataset) -> DecisionArrays:
    """Validation decisions, then test decisions."""
    parts: list[Labelled] = [dataset.labelled(part) for part in ("validation", "test")]
    first, second = (vars(part.decisions) for part in parts)
    return DecisionArrays(**{name: np.concatenate([first[name], second[name]]) for name in first})


@functools.lru_cache(maxsize=2)
def _reward_with_all(config: str, tuning: str, seed: int, folders: Folders) -> float:
    """The reward of a router that was trained with every LLM."""
    settings = _settings(json.loads(tuning), folders)
    whole = changed(from_arguments(json.loads(config), folders.data), settings[ROUTER])
    dataset = prepare_dataset(cached_source(whole.data), whole.data, seed)
    return _router_reward(train_router(whole, dataset, seed), dataset, np.zeros(len(dataset.data.llms.ids), bool))


def _router_reward(trained: Trained, dataset: Dataset, excluded: Bool[np.ndarray, " llms"]) -> float:
    """The test reward of a router that never chooses the excluded LLMs."""
    scores = score_decisions(trained.apply(dataset.world), dataset, _both(dataset))
    scores[:, excluded] = _NEVER
    validation, test = dataset.labelled("validation"), dataset.labelled("test")
    return evaluate_scores({ROUTER: scores}, validation, test, "reward")[ROUTER]["reward"]


def _trained_with_all(config: str, tuning: Mapping, seed: int, folders: Folders) -> float:
    """The reward of `_reward_with_all` on the split of the same name without new LLMs."""
    known = json.loads(config)
    known["data"] |= {"split": {"cold_llm": "cold_query", "cold_user_llm": "cold_user"}[known["data"]["split"]]}
    known["data"] |= {"new_llms": "", "given": 0 if known["data"]["split"] == "cold_query" else ALL}
    return _reward_with_all(json.dumps(known, sort_keys=True), json.dumps(tuning, sort_keys=True), seed, folders)
