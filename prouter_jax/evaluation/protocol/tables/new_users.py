"""Users absent from training, with histories of k decisions."""

from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Size, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import gain, interval_above, ratio, share
from prouter_jax.evaluation.protocol.tables.base import (
    EVERY,
    aim,
    choices,
    choices_tuning,
    costs,
    costs_tuning,
    required,
    seeds,
    unit,
)

_CHOICES, _COSTS = "choices", "multi-cost-efficiency"


def tables(size: Size) -> list[Definition]:
    known = {_CHOICES: choices(size), _COSTS: costs(size, "alpaca_route", 1000, {"data.pool": "core"})}
    tuned = {_CHOICES: choices_tuning(size), _COSTS: costs_tuning(size)}
    ks = (1, 3) if size.small else (1, 3, 10, 30, 100)
    units = []
    for setting, config in known.items():
        new = to_arguments(changed(config, {"data.split": "cold_user"}))
        arguments = {"setting": setting, "config": new, "metric": "reward", "tuning": tuned[setting], "ks": ks}
        units += [unit(size, setting, measure.measure_new_users, seed=seed, **arguments) for seed in seeds(size, 5)]
    return [
        Definition(
            "new_users",
            "New users",
            "200 of 1,000 users are new; k choices of theirs are known when new queries are scored, and nothing is "
            "trained. Recovered: (score - user-blind score) / (best score with all their training decisions - "
            "user-blind score). Policies are tuned on known users; they are told choices alone, never a reward.",
            units,
            (
                required(EVERY, gain(0)),
                required("interval above 0 at k = 3 and 10", interval_above(0, ks=(3, 10))),
                required("the paper's ratio, 64.81 % there: 95 % of the full score at k = 30", ratio({30: 0.95})),
                aim("share recovered 0.45, 0.75, 0.90 at k = 3, 10, 30", share({3: 0.45, 10: 0.75, 30: 0.90})),
                aim("the paper's ratio: 98 % at k = 30", ratio({30: 0.98})),
            ),
        )
    ]
