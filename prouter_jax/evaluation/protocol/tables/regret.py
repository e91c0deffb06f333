"""Table of regret: what new users who give thumbs on served answers lose, by the live router and by bandits."""

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol.definition import Definition, Size, changed, to_arguments
from prouter_jax.evaluation.protocol.regret import BANDITS, measure_regret
from prouter_jax.evaluation.protocol.requirements import gain, gain_over_blind
from prouter_jax.evaluation.protocol.tables.base import (
    SOME_USERS,
    aim,
    by_seed,
    choices,
    costs,
    required,
    seeds,
    some_users,
    unit,
)

_KNOWN, _NEW, _COSTS = "choices, queries others asked", "choices, new queries", "multi-cost-efficiency, new queries"
_SILENT = ", 70 % without thumb"
_DECISIONS = 100  # of each known user
_USERS = 40  # new ones, at most
_CAPTION = (
    "New users ask, a policy picks an LLM, and the user gives a thumb on its answer: up if no other answer has a "
    "higher reward. Only this thumb is seen; in the settings named so, 70 % of the answers get none. k is the number "
    "of thumbs that each user has given. Regret: the sum over a user's queries so far of the highest reward of an LLM "
    "minus that of the pick, mean over users; lower is better. router, router_thompson and router_epsilon: the live "
    'router of preset "tuned" with a gate that validation users choose, and exploration none, thompson and epsilon '
    "(share 0.02). always_blind: the same router for a user without history. beta_cells: Thompson sampling of "
    "Beta(user, LLM). linucb: on 32 components of the text vector and the user. epsilon_greedy: per user. These three "
    f"start from the choices of the known users (210 of {SOME_USERS}, {_DECISIONS} choices each); their settings are "
    "chosen on validation users. informed_router knows the same number of choices of each new user beforehand: what it "
    "loses cannot be learnt from a user; full score is its regret, blind score that of always_blind."
)


def regret_tables(size: Size) -> list[Definition]:
    """The definition of the table."""
    users = changed(choices(size), {"data.decisions_per_user": 0 if size.small else _DECISIONS})
    weighing = costs(size, "alpaca_route", SOME_USERS, {"data.pool": "core"})
    configs = {
        _KNOWN: (some_users(size, users), "warm_user"),
        _NEW: (some_users(size, users), "cold_user"),
        _COSTS: (changed(weighing, {"data.decisions_per_user": users.data.decisions_per_user}), "cold_user"),
    }
    units = [
        _unit(size, setting, config, split, seed)
        for setting, (config, split) in configs.items()
        for seed in seeds(size, 3)
    ]
    requirements = (
        required("the regret is at most 0.7 of the best bandit's", gain(0.3, BANDITS, relative=True)),
        aim("the regret is at most 0.5 of the best bandit's", gain(0.5, BANDITS, relative=True)),
        required("the regret is never above that without history", gain_over_blind(0)),
    )
    return [Definition("regret", "Regret of new users who give thumbs", _CAPTION, by_seed(units), requirements)]


def _unit(size: Size, setting: str, config: ExperimentConfig, split: str, seed: int):
    small = {"train.tuning_steps": 4, "data.train_share": 0.5, "data.validation_share": 0.25}
    changes = {"model.preset": "tuned", "data.split": split, **(small if size.small else {})}
    config = changed(config, changes)
    arguments = {"config": to_arguments(config), "answered": {"": 1.0, _SILENT: 0.3}, "users": _USERS}
    thumbs = (1, 2) if size.small else (5, 20)
    return unit(size, setting, measure_regret, seed=seed, setting=setting, thumbs=thumbs, **arguments)
