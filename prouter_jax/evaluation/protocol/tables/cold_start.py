"""Tables for users and LLMs that are absent from training, by the length of their history."""

import numpy as np

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import (
    gain,
    gain_over_blind,
    interval_above,
    learnable_gain_above,
    learnable_gain_at_most,
    ratio,
    share,
)
from prouter_jax.evaluation.protocol.table import MIN_LEARNABLE_GAIN
from prouter_jax.evaluation.protocol.tables.base import (
    EVERY,
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

# Names of the two settings: users who choose by style and quality, and users who weigh quality against cost.
_CHOICES, _COSTS = "choices", "multi-cost-efficiency"
_CAPTION = (
    "A fifth of the users (200 of 1,000) are absent from training. Then k decisions of each of these new users become "
    "known, and other queries are scored without training. The policies see which answers the new users chose, but no "
    "rewards. Hyperparameters are tuned where all users have training decisions. Blind score: the router without the "
    "history of the user. Full score: the best score of any policy when all decisions of the new users on training "
    "queries are known. Share recovered: (score - blind score) / (full score - blind score)."
)
_RATIO = "score divided by full score at k = {} is at least {}"

CORE = (
    *("gpt4_1106_preview", "gpt4_0613_concise", "claude-2", "claude-instant-1.2", "gpt-3.5-turbo-1106_verbose"),
    *("gpt-3.5-turbo-1106_concise", "Mixtral-8x7B-Instruct-v0.1_concise", "OpenHermes-2.5-Mistral-7B"),
    *("gemma-7b-it", "Qwen-14B-Chat"),
)
SMALL_POOL = ("alder-1", "birch-1")  # LLMs of the small size
_HALVES = 3  # random halves of the core pool that are new together
_MATTERS, _OTHER = learnable_gain_above(MIN_LEARNABLE_GAIN), learnable_gain_at_most(MIN_LEARNABLE_GAIN)


def new_user_tables(size: Size) -> list[Definition]:
    """The definition of the table. In the small size k is 1 or 3, so requirements for other k are not measured."""
    ks = (1, 3) if size.small else (1, 3, 10, 30, 100)
    mce_users = costs(size, folder="alpaca_route", num_users=1000, changes={"data.pool": "core"})
    units = []
    for setting, config, tuning in (
        (_CHOICES, choices(size), choices_tuning(size)),
        (_COSTS, mce_users, costs_tuning(size)),
    ):
        split = to_arguments(changed(config, {"data.split": "cold_user"}))
        arguments = {"setting": setting, "config": split, "metric": "reward", "tuning": tuning, "ks": ks}
        units += [unit(size, setting, measure.measure_new_users, seed=seed, **arguments) for seed in seeds(size, 5)]
    requirements = (
        required(EVERY, gain(at_least=0)),
        required(
            "at k = 3 and 10, the interval of the gain over every baseline is above 0", interval_above(0, ks=(3, 10))
        ),
        required(_RATIO.format(30, "0.95") + " (arXiv 2511.16883 reports 0.6481)", ratio({30: 0.95})),
        aim(
            "the share recovered at k = 3, 10, 30 is at least 0.45, 0.75, 0.90",
            share({3: 0.45, 10: 0.75, 30: 0.90}),
        ),
        aim(_RATIO.format(30, "0.98"), ratio({30: 0.98})),
    )
    return [Definition("new_users", "New users", _CAPTION, units, requirements)]


def new_llm_tables(size: Size) -> list[Definition]:
    """The definitions of the tables with new LLMs."""
    return [_alone(size), _with_new_users(size)]


def _alone(size: Size) -> Definition:
    chosen, weighed = some_users(size, choices(size)), costs(size, "alpaca_route", 9, {"data.pool": "core"})
    units = _units(size, "choices", chosen, choices_tuning(size), 2)
    units += _units(size, "costs", weighed, costs_tuning(size), 5)
    return Definition(
        "new_llms",
        "New LLMs",
        f"Each LLM in turn, and random halves of the pool, are absent from training ({SOME_USERS} users choose "
        "answers, 9 users weigh quality against cost). Then k decisions (for the 9 users: k rated answers) in which a "
        "new LLM was a candidate become known, and other queries are scored without training. Blind score: the router "
        "never chooses a new LLM. Full score: the router is trained with all LLMs. Share recovered: (score - blind "
        "score) / (full score - blind score).",
        units,
        (
            required(
                "where the learnable gain is over 0.02, the share recovered at k = 100 is at least 0.8",
                share({100: 0.8}, where=_MATTERS),
            ),
            required(
                "elsewhere the router's score is at most 0.003 below the blind score",
                gain_over_blind(-0.003, where=_OTHER),
            ),
            required(_RATIO.format(100, "0.95") + " (arXiv 2511.16883 reports 0.858)", ratio({100: 0.95})),
            aim(
                "where the learnable gain is over 0.02, the share recovered at k = 20 is at least 0.8",
                share({20: 0.8}, where=_MATTERS),
            ),
            aim(_RATIO.format(100, "0.98"), ratio({100: 0.98})),
        ),
    )


def _with_new_users(size: Size) -> Definition:
    config, name = some_users(size, choices(size)), (SMALL_POOL if size.small else CORE)[0]
    tuned = choices_tuning(size)
    return Definition(
        "new_users_and_llms",
        "New users and a new LLM",
        "Both the users and the LLM are absent from training. Then k decisions of each new user become known.",
        _of(size, f"choices, {name}", config, name, tuned, 2, "cold_user_llm", (1, 3) if size.small else (1, 10, 100)),
    )


def _units(size: Size, setting: str, config: ExperimentConfig, tuned: dict, number: int) -> list[Unit]:
    names, ks = (SMALL_POOL, (0, 5)) if size.small else (CORE, (0, 5, 20, 100))
    rng = np.random.default_rng(0)
    halves = [sorted(rng.permutation(len(CORE))[: len(CORE) // 2]) for _ in range(_HALVES)]
    groups = {name: name for name in names}
    if not size.small:
        groups |= {f"half {n + 1}": ",".join(CORE[row] for row in half) for n, half in enumerate(halves)}
    units = []
    for group, llms in groups.items():
        units += _of(size, f"{setting}, {group}", config, llms, tuned, number, "cold_llm", ks)
    return by_seed(units)  # every unit of a seed then uses the same cached router that is trained with all LLMs


def _of(size: Size, setting: str, config: ExperimentConfig, llms, tuned, number, split, ks) -> list[Unit]:
    new = to_arguments(changed(config, {"data.split": split, "data.new_llms": llms}))
    arguments = {"setting": setting, "config": new, "tuning": tuned, "ks": ks}
    return [unit(size, setting, measure.measure_new_llms, seed=seed, **arguments) for seed in seeds(size, number)]
