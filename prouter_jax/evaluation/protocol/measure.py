"""The measurements of the protocol, each of one seed: functions of plain arguments, as `definition.Unit` wants them."""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prouter_jax import metrics
from prouter_jax.config import ExperimentConfig
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.data.splits import find_llms
from prouter_jax.dataset import Labelled, Prepared, prepare
from prouter_jax.evaluation.baselines.tuning import make_tuned
from prouter_jax.evaluation.protocol.contest import USER_BLIND, Contest, hold_contest, judge, train_router
from prouter_jax.evaluation.protocol.definition import changed, from_arguments, source_of
from prouter_jax.evaluation.protocol.table import ORACLE, sign
from prouter_jax.evaluation.protocol.tuning import Tuning, tuned_settings
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained

ALL = 10**9  # decisions given: every one there is
_NEVER = -1e6  # the score of an LLM that is not to be chosen


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where units find the data sets and what they share: tuned settings."""

    data: pathlib.Path
    kept: pathlib.Path


def measure_split(setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, folders: Folders) -> dict:
    """All contestants on the test decisions of one split."""
    contest = _hold(config, tuning, seed, folders)
    return {"setting": setting, "k": None, "seed": seed, "metric": metric} | _measure(contest, contest.prepared, metric)


def measure_new_users(
    setting: str, config: Mapping, metric: str, tuning: Mapping, seed: int, ks: Sequence[int], folders: Folders
) -> list[dict]:
    """All contestants on the decisions of users never learnt from, of whom k decisions are known.

    "full" is the best score of any contestant that is shown all that the new users decided on training queries.
    """
    contest = _hold(config, tuning, seed, folders)
    whole = from_arguments(config, folders.data)
    worlds = {k: _given(whole, k, seed) if k else contest.prepared for k in (*ks, ALL)}
    found = {k: _measure(contest, prepared, metric) for k, prepared in worlds.items()}
    scores = {name: numbers[metric] for name, numbers in found[ALL]["policies"].items() if name != ORACLE}
    known = [score for score in scores.values() if not math.isnan(score)]
    ends = {"blind": scores[USER_BLIND], "full": max(known, key=lambda score: sign(metric) * score)}
    common = {"setting": setting, "seed": seed, "metric": metric} | ends
    return [common | {"k": None if k == ALL else k} | found[k] for k in ks]


def measure_new_llms(
    setting: str, config: Mapping, tuning: Mapping, seed: int, ks: Sequence[int], folders: Folders
) -> list[dict]:
    """The router and baselines with LLMs that training never met; k decisions with one of them on offer are seen.

    "blind" is the router's score if it never chooses a new LLM, "full" that of one trained with all of them.
    """
    whole = from_arguments(config, folders.data)
    settings = _settings(tuning, folders)
    prepared = _given(whole, 0, seed)
    contest = hold_contest(whole, prepared, seed, {ROUTER: settings[ROUTER]} | _quick(settings))
    found = []
    for k in ks:
        given = _given(whole, k, seed) if k else prepared
        policies = make_tuned(given, _quick(settings))
        for policy in policies.values():
            policy.fit(given.labelled("train"), given.labelled("validation"))
        found.append(_measure(dataclasses.replace(contest, policies=policies), given, "reward"))
    ends = {"blind": _without_new(contest, whole), "full": _trained_with_all(json.dumps(config), tuning, seed, folders)}
    common = {"setting": setting, "seed": seed, "metric": "reward"} | ends
    return [common | {"k": k} | numbers for k, numbers in zip(ks, found, strict=True)]


def measure_parts(setting: str, config: Mapping, variants: Mapping[str, Mapping], seed: int, folders: Folders) -> dict:
    """The router beside itself with changes, each named: what a part brings."""
    whole = from_arguments(config, folders.data)
    prepared = prepare(source_of(whole.data), whole.data, seed)
    scores = {}
    both = _both(prepared)
    for name, changes in {ROUTER: {}, **variants}.items():
        one = changed(whole, changes)
        other = prepared if one.data == whole.data else prepare(source_of(one.data), one.data, seed)
        scores[name] = score_decisions(train_router(one, other, seed).apply(other.world), other, both)
    numbers = judge(scores, prepared.labelled("validation"), prepared.labelled("test"), "reward")
    return {"setting": setting, "k": None, "seed": seed, "metric": "reward", "policies": numbers}


def _hold(config: Mapping, tuning: Mapping, seed: int, folders: Folders) -> Contest:
    whole = from_arguments(config, folders.data)
    prepared = prepare(source_of(whole.data), whole.data, seed)
    return hold_contest(whole, prepared, seed, _settings(tuning, folders))


def _settings(tuning: Mapping, folders: Folders) -> dict[str, dict[str, Any]]:
    asked = Tuning(**{**tuning, "policies": tuple(tuning["policies"])})
    return tuned_settings(asked, folders.data, folders.kept)


def _quick(settings: Mapping[str, dict]) -> dict[str, dict]:
    """Policies that are fitted anew for every k."""
    return {name: settings[name] for name in _FITTED_ANEW if name in settings}


_FITTED_ANEW = ("smoothed_favourite", "empirical_bayes", "neighbours_per_user", "kernel_ridge", "bradley_terry")


def _given(config: ExperimentConfig, k: int, seed: int) -> Prepared:
    return prepare(source_of(config.data), dataclasses.replace(config.data, given=k), seed)


def _measure(contest: Contest, prepared: Prepared, metric: str) -> dict:
    """ "policies" of a measurement, with the histories of `prepared`."""
    validation, test = prepared.labelled("validation"), prepared.labelled("test")
    scores = contest.scores(prepared, _both(prepared))
    numbers: dict[str, dict] = dict(judge(scores, validation, test, metric))
    for name in numbers.keys() & contest.seconds.keys():
        numbers[name]["seconds"] = contest.seconds[name]
    if not np.isnan(prepared.data.users.preference).any():
        numbers[ORACLE] = {"reward": metrics.mean(np.fmax.reduce(test.rewards, axis=1))}
    return {"policies": numbers, "facts": {"test decisions": len(test.decisions.user)}}


def _both(prepared: Prepared) -> DecisionArrays:
    """Validation decisions, then test decisions."""
    parts: list[Labelled] = [prepared.labelled(part) for part in ("validation", "test")]
    columns = (vars(part.decisions) for part in parts)
    first, second = columns
    return DecisionArrays(**{name: np.concatenate([first[name], second[name]]) for name in first})


def _without_new(contest: Contest, config: ExperimentConfig) -> float:
    data = contest.prepared.data
    return _reward(contest.trained, contest.prepared, find_llms(data.llms.ids, config.data.new_llms))


@functools.lru_cache(maxsize=2)
def _scores_with_all(config: str, tuning: str, seed: int, folders: Folders) -> float:
    """The reward of a router that was trained with every LLM."""
    settings = _settings(json.loads(tuning), folders)
    whole = changed(from_arguments(json.loads(config), folders.data), settings[ROUTER])
    prepared = prepare(source_of(whole.data), whole.data, seed)
    return _reward(train_router(whole, prepared, seed), prepared, np.zeros(len(prepared.data.llms.ids), bool))


def _reward(trained: Trained, prepared: Prepared, never: np.ndarray) -> float:
    """The reward of a router that never chooses the LLMs `never` (bool [llms])."""
    scores = score_decisions(trained.apply(prepared.world), prepared, _both(prepared))
    scores[:, never] = _NEVER
    validation, test = prepared.labelled("validation"), prepared.labelled("test")
    return judge({ROUTER: scores}, validation, test, "reward")[ROUTER]["reward"]


def _trained_with_all(config: str, tuning: Mapping, seed: int, folders: Folders) -> float:
    known = json.loads(config)
    known["data"] |= {"split": {"cold_llm": "cold_query", "cold_user_llm": "cold_user"}[known["data"]["split"]]}
    known["data"] |= {"new_llms": "", "given": 0 if known["data"]["split"] == "cold_query" else ALL}
    return _scores_with_all(json.dumps(known, sort_keys=True), json.dumps(tuning, sort_keys=True), seed, folders)
