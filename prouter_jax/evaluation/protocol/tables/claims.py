"""Table of the paper's claims (arXiv 2511.16883): its kinds of users and of baselines, its numbers beside ours."""

from collections.abc import Mapping
from typing import Any

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol.claims import COMPARED, measure_claim
from prouter_jax.evaluation.protocol.definition import (
    CLAIMS,
    Definition,
    Requirement,
    Size,
    Unit,
    changed,
    to_arguments,
)
from prouter_jax.evaluation.protocol.requirements import gain, interval_above, ratio, settings
from prouter_jax.evaluation.protocol.tables.base import (
    COST_MODEL,
    MCE,
    SOME_USERS,
    aim,
    by_seed,
    choices,
    costs,
    embedded,
    required,
    seeds,
    some_users,
    tuning,
    unit,
)
from prouter_jax.evaluation.protocol.tables.cold_start import CORE, SMALL_POOL

_COSTS, _CHOICES = "multi-cost-efficiency", "choices"
_NEW_USERS, _NEW_LLMS = "new users", "new LLMs"
# the router's margin over the strongest baseline, by kind and number of users
_MARGINS = {(_COSTS, 9): 0.1538, (_COSTS, 1000): 0.1619, (_CHOICES, 9): 0.0983, (_CHOICES, 1000): 0.5969}
_OF_TRAINED = {_NEW_USERS: 0.6481, _NEW_LLMS: 0.8580}
_CORE_POOL = {"data.pool": "core"}
_CAPTION = (
    "Users of the paper's two kinds, on two data sets, and only baselines of the paper's kinds: a cascade as "
    "FrugalGPT, a switch between a small and a large LLM as HybridLLM, a contrastive router as RouterDC, and a graph "
    "network without users as GraphRouter; these and the router are tuned with 20 configurations. Choices stand in for "
    "the paper's LLM-as-a-Judge. Margin: the router's gain over the strongest baseline on test, in percent of that "
    "baseline's score. Of fully trained: the score for new users after k decisions as a share of the best score with "
    "all their decisions; the score with new LLMs (half of the pool) after k decisions as a share of the score of a "
    "router trained with them. The paper's numbers are of other queries, answers, grades and users: there an LLM "
    "judges, here rules on style, quality and cost choose. GPT-4-Turbo graded the answers of alpaca_route; the "
    "embedded benchmark is synthetic. The paper does not say how many decisions of a new user or LLM are known. The "
    "cascade forecasts rewards from the query alone, where FrugalGPT also reads answers, and is not charged for "
    "earlier calls; the contrastive router has fixed text vectors, where RouterDC trains a language model."
)


def claim_tables(size: Size) -> list[Definition]:
    """The definition of the table."""
    units = by_seed([*_known_users(size), *_new_users(size), *_new_llms(size)])
    return [Definition(CLAIMS, "The paper's claims, on data at hand", _CAPTION, units, _requirements())]


def _known_users(size: Size) -> list[Unit]:
    units = []
    for (kind, number), margin in _MARGINS.items():
        for place, config, count in (
            ("alpaca_route", _alpaca(size, kind, number), 5),
            ("embedded", _embedded(size, kind, number), 3),
        ):
            tuned = _tuning(size, kind, number, place, config)
            more = {"measured": "split", "published": _percent(margin), "metric": "reward", "tuning": tuned}
            units += _units(size, f"{kind}, {place}, {number:,} users", config, count, **more)
    return units


def _new_users(size: Size) -> list[Unit]:
    ks, units = (1, 3) if size.small else (3, 10, 30), []
    for kind, config in ((_COSTS, _alpaca(size, _COSTS, 1000)), (_CHOICES, some_users(size, choices(size)))):
        tuned = _tuning(size, kind, 1000, "alpaca_route", config)
        more = {"measured": _NEW_USERS, "metric": "reward", "tuning": tuned, "ks": ks}
        new = changed(config, {"data.split": "cold_user"})
        units += _units(size, f"{_NEW_USERS}, {kind}", new, 5, published=_percent(_OF_TRAINED[_NEW_USERS]), **more)
    return units


def _new_llms(size: Size) -> list[Unit]:
    names = SMALL_POOL if size.small else CORE[::2]
    ks, units = (0, 5) if size.small else (20, 100), []
    for kind, config, number in (
        (_COSTS, _alpaca(size, _COSTS, 9), 9),
        (_CHOICES, some_users(size, choices(size)), 1000),
    ):
        tuned = _tuning(size, kind, number, "alpaca_route", config)
        new = changed(config, {"data.split": "cold_llm", "data.new_llms": ",".join(names)})
        more = {"measured": _NEW_LLMS, "tuning": tuned, "ks": ks}
        units += _units(size, f"{_NEW_LLMS}, {kind}", new, 3, published=_percent(_OF_TRAINED[_NEW_LLMS]), **more)
    return units


def _requirements() -> list[Requirement]:
    names = {
        (kind, number): [f"{kind}, {place}, {number:,} users" for place in ("alpaca_route", "embedded")]
        for kind, number in _MARGINS
    }
    margins = [
        aim(
            f"{kind}, {number:,} users: the margin is at least the paper's, {_percent(margin)}",
            gain(margin, relative=True, where=settings(*names[kind, number])),
        )
        for (kind, number), margin in _MARGINS.items()
    ]
    every = settings(*(name for both in names.values() for name in both))
    return [
        required(
            "the interval of the gain over every baseline of the paper's kind is above 0",
            interval_above(0, where=every),
        ),
        *margins,
        *(_as_fully_trained(about, ks) for about, ks in ((_NEW_USERS, (3, 10, 30)), (_NEW_LLMS, (20, 100)))),
    ]


def _as_fully_trained(about: str, ks: tuple[int, ...]) -> Requirement:
    where = settings(*(f"{about}, {kind}" for kind in (_COSTS, _CHOICES)))
    text = f"{about}: the score is at least {_percent(_OF_TRAINED[about])} of the fully trained, as in the paper"
    return aim(text, ratio(dict.fromkeys(ks, _OF_TRAINED[about]), where=where))


def _alpaca(size: Size, kind: str, number: int) -> ExperimentConfig:
    if kind == _COSTS:
        return costs(size, "alpaca_route", number, _CORE_POOL)
    return choices(size, {"data.most_users": number})


def _embedded(size: Size, kind: str, number: int) -> ExperimentConfig:
    users = {"data.users": MCE, **COST_MODEL} if kind == _COSTS else {"data.users": "llm_as_judge"}
    return embedded(size, {**users, "data.num_users": number})


def _tuning(size: Size, kind: str, number: int, place: str, config: ExperimentConfig) -> Mapping[str, Any]:
    """20 configurations of each policy; 9 users are few, so on 5 splits; of 1,000 who choose, on some."""
    more = {"trainings": 1 if kind == _COSTS else 5, "seeds": 5 if number == 9 else 1}
    if kind == _CHOICES and place == "alpaca_route" and number > SOME_USERS:
        config = some_users(size, choices(size))
    name = "costs" if kind == _COSTS else "choices"
    return {**tuning(size, f"claims_{name}_{place}_{number}", config, **more), "policies": COMPARED}


def _units(size: Size, setting: str, config: ExperimentConfig, number: int, **more) -> list[Unit]:
    arguments = {"setting": setting, "config": to_arguments(config), **more}
    return [unit(size, setting, measure_claim, seed=seed, **arguments) for seed in seeds(size, number)]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
