"""Measures the settings of the evaluation protocol, one seed a call: the functions that `definition.Unit` runs.

Each function trains the router and fits the baselines on one split, scores the test decisions, and returns measurements
as `definition.Unit` describes them. Its arguments are plain JSON, which names the result.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from prouter_jax import metrics
from prouter_jax.config import ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays, choice_shares
from prouter_jax.data.splits import find_llms
from prouter_jax.dataset import Dataset, Labelled, prepare_dataset
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.definition import Size, cached_source, changed, from_arguments
from prouter_jax.evaluation.protocol.fitting import (
    FittedPolicies,
    fit_all,
    train_router,
    train_state,
)
from prouter_jax.evaluation.protocol.scoring import USER_BLIND, evaluate_scores, users_worse
from prouter_jax.evaluation.protocol.table import ACCEPTED, ORACLE, sign
from prouter_jax.evaluation.protocol.tuning import Tuning, tuned_settings
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained
from prouter_jax.sharding import to_host
from prouter_jax.training.ablation import train_variants
from prouter_jax.training.gate import em_numbers

EM = "EM alone"
ALL = 10**9  # for k: all decisions of each new user on training queries are in the history
_NEVER = -1e6  # score of an LLM that must not be chosen
# Fitted again at every k; other baselines would take too long.
_FITTED_AGAIN = ("smoothed_favourite", "empirical_bayes", "neighbours_per_user", "kernel_ridge", "bradley_terry")


def measure_split(setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, size: Size) -> dict:
    """Scores the router and all baselines on the test decisions of one split.

    Args:
      config: configuration as `definition.to_arguments` gives it.
      metric: "reward", "accuracy" or "log_loss", by which policies are compared.
      tuning: fields of a `Tuning`, which finds the hyperparameters.
      size: has the folders of the data sets and of the tuned settings.
    """
    fitted = _fit(config, tuning, seed, size)
    return {"setting": setting, "k": None, "seed": seed, "metric": metric} | _measure(fitted, fitted.dataset, metric)


def measure_new_users(
    setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, ks: Sequence[int], size: Size
) -> list[dict]:
    """Scores the router and all baselines on users absent from training, with histories of k decisions.

    "blind" is the score of the router without histories, "full" the best score of any policy when the histories are all
    decisions of the new users on training queries.

    Args:
      setting, config, metric, tuning: see `measure_split`.
      ks: lengths of the histories; the result has a measurement for each.
    """
    fitted = _fit(config, tuning, seed, size)
    whole = from_arguments(config, size.data)
    splits = {k: split_given(whole, k, seed) if k else fitted.dataset for k in (*ks, ALL)}
    found = {k: _measure(fitted, dataset, metric) for k, dataset in splits.items()}
    scores = {name: numbers[metric] for name, numbers in found[ALL]["policies"].items() if name != ORACLE}
    known = [score for score in scores.values() if not math.isnan(score)]
    ends = {"blind": scores[USER_BLIND], "full": max(known, key=lambda score: sign(metric) * score)}
    common = {"setting": setting, "seed": seed, "metric": metric} | ends
    return [common | {"k": None if k == ALL else k} | found[k] for k in ks]


def measure_new_llms(
    setting: str, config: Mapping, tuning: Mapping, seed: int, ks: Sequence[int], size: Size
) -> list[dict]:
    """Scores the router and baselines with LLMs absent from training, after k decisions with a new LLM as a candidate.

    "blind" is the score of the router that never chooses a new LLM, "full" that of a router trained with all LLMs.

    Args:
      setting, config, tuning: see `measure_split`.
      ks: numbers of decisions; the result has a measurement for each.
    """
    whole = from_arguments(config, size.data)
    settings = _settings(tuning, size)
    again = {name: settings[name] for name in _FITTED_AGAIN if name in settings}
    dataset = split_given(whole, 0, seed)
    fitted = fit_all(whole, dataset, seed, {ROUTER: settings[ROUTER]} | again)
    found = []
    for k in ks:
        given = split_given(whole, k, seed) if k else dataset
        policies = make_tuned(given, again)
        for policy in policies.values():
            policy.fit(given.labelled("train"), given.labelled("validation"))
        found.append(_measure(dataclasses.replace(fitted, policies=policies), given, "reward"))
    blind = _router_reward(fitted.trained, dataset, find_llms(dataset.data.llms.ids, whole.data.new_llms))
    ends = {"blind": blind, "full": _trained_with_all(json.dumps(config), tuning, seed, size)}
    common = {"setting": setting, "seed": seed, "metric": "reward"} | ends
    return [common | {"k": k} | numbers for k, numbers in zip(ks, found, strict=True)]


def measure_parts(setting: str, config: Mapping, variants: Mapping[str, Mapping], seed: int, size: Size) -> dict:
    """Scores the router and variants of it, each trained with some fields of the configuration changed: an ablation.

    Args:
      setting, config: see `measure_split`.
      variants: changed fields by name of the variant.
    """
    whole = from_arguments(config, size.data)
    dataset = _split(whole, seed)
    scores, temperatures = {}, {}
    both = _both(dataset)
    for name, changes in {ROUTER: {}, **variants}.items():
        one = changed(whole, changes)
        other = dataset if one.data == whole.data else _split(one, seed)
        trained = train_router(one, other, seed)
        scores[name], temperatures[name] = score_decisions(trained.apply(other.world), other, both), trained.temperature
    validation, test = dataset.labelled("validation"), dataset.labelled("test")
    numbers = evaluate_scores(scores, validation, test, "reward", temperatures)
    return {"setting": setting, "k": None, "seed": seed, "metric": "reward", "policies": numbers}


def split_given(config: ExperimentConfig, k: int, seed: int) -> Dataset:
    """The split whose histories have k decisions of each new user, or k decisions with a new LLM as a candidate."""
    return prepare_dataset(cached_source(config.data), dataclasses.replace(config.data, given=k), seed)


def measure_gradients(setting: str, config: Mapping, seed: int, ks: Sequence[int | None], size: Size) -> list:
    """Scores the trained numbers, if the gate accepted them, and EM of the same training run on the test decisions.

    Probabilities are the softmax of the logits at temperature 1. All numbers are means over test users of the user's
    mean, and the numbers of each user go with them, from which `table` takes intervals over users.

    Args:
      setting: name of the setting; measurements of accuracy add the metric to it.
      config: configuration of preset "tuned" as `definition.to_arguments` gives it.
      ks: lengths of the histories of new users; (None,) without new users.
    """
    whole = from_arguments(config, size.data)
    dataset = _split(whole, seed)
    trained = train_router(whole, dataset, seed)
    em = dataclasses.replace(trained, params=trained.params | {"accepted": np.zeros((), np.float32)})
    found = []
    for k in ks:
        given = split_given(whole, k, seed) if k else dataset
        of_users = {name: _of_users(one, given, "test") for name, one in ((ROUTER, trained), (EM, em))}
        for metric, name in (("log_loss", setting), ("accuracy", f"{setting}, accuracy")):
            found.append({"setting": name, "k": k, "seed": seed, "metric": metric, "by_user": of_users})
            found[-1]["policies"] = {policy: _means(one) for policy, one in of_users.items()}
            found[-1]["policies"][ROUTER][ACCEPTED] = float(trained.params["accepted"])
    return found


def measure_groups(
    setting: str,
    config: Mapping,
    groups: Mapping[str, Sequence[str]],
    seed: int,
    ks: Sequence[int],
    size: Size,
) -> list:
    """Scores the trained numbers, the same without each group of them, and EM alone on the validation decisions.

    All start from one EM. The gate has no say. Probabilities and numbers of users are as of `measure_gradients`.

    Args:
      setting, config: as for `measure_gradients`.
      groups: the parameters of `model.transfer` that a variant leaves at EM's values, by its name.
      ks: lengths of the histories of new users.
    """
    whole = dataclasses.replace(from_arguments(config, size.data), seed=seed)
    dataset = _split(whole, seed)
    # of this training only the EM is used
    run, state = train_state(changed(whole, {"train.tuning_steps": 1}), dataset, seed)
    variants = {EM: {**to_host(state.params), **em_numbers(run.network)}}
    variants |= train_variants(whole, dataset, run, state, {ROUTER: (), **groups})
    found = []
    for k in ks:
        given = split_given(whole, k, seed) if k else dataset
        of_users = {
            name: _of_users(Trained(whole.model, run.network, params, 1.0), given, "validation")
            for name, params in variants.items()
        }
        found.append({"setting": setting, "k": k, "seed": seed, "metric": "log_loss", "by_user": of_users})
        found[-1]["policies"] = {name: _means(users) for name, users in of_users.items()}
    return found


def _split(config: ExperimentConfig, seed: int) -> Dataset:
    return prepare_dataset(cached_source(config.data), config.data, seed)


def _fit(config: Mapping, tuning: Mapping, seed: int, size: Size) -> FittedPolicies:
    whole = from_arguments(config, size.data)
    dataset = _split(whole, seed)
    return fit_all(whole, dataset, seed, _settings(tuning, size))


def _settings(tuning: Mapping, size: Size) -> dict[str, dict[str, Any]]:
    return tuned_settings(Tuning(**{**tuning, "policies": tuple(tuning["policies"])}), size.data, size.tuned)


def _measure(fitted: FittedPolicies, dataset: Dataset, metric: str) -> dict:
    """ "policies" and "facts" of a measurement on the test decisions of `dataset`, with its histories."""
    validation, test = dataset.labelled("validation"), dataset.labelled("test")
    scores = fitted.scores(dataset, _both(dataset))
    numbers: dict[str, dict] = dict(evaluate_scores(scores, validation, test, metric, fitted.temperatures))
    of_test = {name: both[len(validation.rewards) :] for name, both in scores.items()}
    numbers[ROUTER] |= users_worse(of_test, test, fitted.trained.temperature)
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
def _reward_with_all(config: str, tuning: str, seed: int, size: Size) -> float:
    """The reward of a router that was trained with every LLM."""
    settings = _settings(json.loads(tuning), size)
    whole = changed(from_arguments(json.loads(config), size.data), settings[ROUTER])
    dataset = _split(whole, seed)
    return _router_reward(train_router(whole, dataset, seed), dataset, np.zeros(len(dataset.data.llms.ids), bool))


def _router_reward(trained: Trained, dataset: Dataset, excluded: Bool[np.ndarray, " llms"]) -> float:
    """The test reward of a router that never chooses the excluded LLMs."""
    scores = score_decisions(trained.apply(dataset.world), dataset, _both(dataset))
    scores[:, excluded] = _NEVER
    validation, test = dataset.labelled("validation"), dataset.labelled("test")
    return evaluate_scores({ROUTER: scores}, validation, test, "reward")[ROUTER]["reward"]


def _trained_with_all(config: str, tuning: Mapping, seed: int, size: Size) -> float:
    """The reward of `_reward_with_all` on the split of the same name without new LLMs."""
    known = json.loads(config)
    known["data"] |= {"split": {"cold_llm": "cold_query", "cold_user_llm": "cold_user"}[known["data"]["split"]]}
    known["data"] |= {"new_llms": "", "given": 0 if known["data"]["split"] == "cold_query" else ALL}
    return _reward_with_all(json.dumps(known, sort_keys=True), json.dumps(tuning, sort_keys=True), seed, size)


def _of_users(trained: Trained, dataset: Dataset, part: str) -> dict[str, dict[str, float]]:
    """The mean log loss and accuracy of each user with decisions in a part, by metric and id; accuracy without ties."""
    decisions = dataset.labelled(part).decisions
    logits = score_decisions(trained.apply(dataset.world), dataset, decisions)
    shares = choice_shares(decisions)
    right = metrics.matches(metrics.choose(logits, decisions.offered), shares)
    values = {
        "log_loss": metrics.log_loss(logits, decisions.offered, shares),
        "accuracy": np.where(np.count_nonzero(shares, axis=1) == 1, right, np.nan),
    }
    ids, row = np.unique(dataset.data.users.ids[decisions.user], return_inverse=True)
    return {
        metric: dict(zip(ids.tolist(), metrics.group_means(of_decisions, row, len(ids)).tolist(), strict=True))
        for metric, of_decisions in values.items()
    }


def _means(of_users: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: metrics.mean(np.array(list(users.values()))) for metric, users in of_users.items()}
