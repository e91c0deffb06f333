"""LLMs absent from training, alone and together with new users."""

import numpy as np

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import (
    gain_over_blind,
    learnable_gain_above,
    learnable_gain_at_most,
    ratio,
    share,
)
from prouter_jax.evaluation.protocol.table import MIN_LEARNABLE_GAIN
from prouter_jax.evaluation.protocol.tables.base import (
    SOME_USERS,
    aim,
    by_seed,
    choices,
    choices_tuning,
    costs,
    costs_tuning,
    required,
    seeds,
    some_users,
    unit,
)

_CORE = (
    *("gpt4_1106_preview", "gpt4_0613_concise", "claude-2", "claude-instant-1.2", "gpt-3.5-turbo-1106_verbose"),
    *("gpt-3.5-turbo-1106_concise", "Mixtral-8x7B-Instruct-v0.1_concise", "OpenHermes-2.5-Mistral-7B"),
    *("gemma-7b-it", "Qwen-14B-Chat"),
)
_SMALL = ("alder-1", "birch-1")
_HALVES = 3
_MATTERS, _OTHER = learnable_gain_above(MIN_LEARNABLE_GAIN), learnable_gain_at_most(MIN_LEARNABLE_GAIN)


def tables(size: Size) -> list[Definition]:
    return [_alone(size), _with_new_users(size)]


def _alone(size: Size) -> Definition:
    chosen, weighed = some_users(size, choices(size)), costs(size, "alpaca_route", 9, {"data.pool": "core"})
    units = _units(size, "choices", chosen, choices_tuning(size), 2)
    units += _units(size, "costs", weighed, costs_tuning(size), 5)
    return Definition(
        "new_llms",
        "New LLMs",
        f"Each LLM in turn, and random halves of the pool, are unknown to training ({SOME_USERS} users choose, 9 weigh "
        "costs); k decisions (of those who weigh costs: outcomes) in which they were on offer are known when new "
        "queries are scored. Recovered: (score - score never choosing them) / (score trained with them - score never "
        "choosing them).",
        units,
        (
            required("0.8 recovered at k = 100 where the LLMs bring over 0.02", share({100: 0.8}, where=_MATTERS)),
            required("elsewhere never 0.003 worse than ignoring them", gain_over_blind(-0.003, where=_OTHER)),
            required("the paper's ratio, 85.80 % there: 95 % of the full score at k = 100", ratio({100: 0.95})),
            aim("0.8 recovered at k = 20 where the LLMs bring over 0.02", share({20: 0.8}, where=_MATTERS)),
            aim("the paper's ratio: 98 % at k = 100", ratio({100: 0.98})),
        ),
    )


def _with_new_users(size: Size) -> Definition:
    config, name = some_users(size, choices(size)), (_SMALL if size.small else _CORE)[0]
    tuned = choices_tuning(size)
    return Definition(
        "new_users_and_llms",
        "New users who meet a new LLM",
        "Neither the users nor the LLM were met in training; k decisions of each new user are known.",
        _of(size, f"choices, {name}", config, name, tuned, 2, "cold_user_llm", (1, 3) if size.small else (1, 10, 100)),
    )


def _units(size: Size, setting: str, config: ExperimentConfig, tuned: dict, number: int) -> list[Unit]:
    names, ks = (_SMALL, (0, 5)) if size.small else (_CORE, (0, 5, 20, 100))
    rng = np.random.default_rng(0)
    halves = [sorted(rng.permutation(len(_CORE))[: len(_CORE) // 2]) for _ in range(_HALVES)]
    groups = {name: name for name in names}
    if not size.small:
        groups |= {f"half {n + 1}": ",".join(_CORE[row] for row in half) for n, half in enumerate(halves)}
    units = []
    for group, llms in groups.items():
        units += _of(size, f"{setting}, {group}", config, llms, tuned, number, "cold_llm", ks)
    return by_seed(units)  # the cached router that is trained with all LLMs then serves every group


def _of(size: Size, setting: str, config: ExperimentConfig, llms, tuned, number, split, ks) -> list[Unit]:
    new = to_arguments(changed(config, {"data.split": split, "data.new_llms": llms}))
    arguments = {"setting": setting, "config": new, "tuning": tuned, "ks": ks}
    return [unit(size, setting, measure.measure_new_llms, seed=seed, **arguments) for seed in seeds(size, number)]
