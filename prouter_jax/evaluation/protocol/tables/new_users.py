"""Table "New users": the router and baselines on users who are absent from training, by length of their history.

A fifth of the 1,000 users are absent from training. For each k of 1, 3, 10, 30 and 100, k decisions of each of these
users (each a choice of the best answer to a query) become known, and their decisions on other queries are scored.
No model is trained on the new users.
"""

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

# Names of the two settings: users who choose by style and quality, and users who weigh quality against cost.
_CHOICES, _COSTS = "choices", "multi-cost-efficiency"
_CAPTION = (
    "A fifth of the users (200 of 1,000) are absent from training. Then k decisions of each of these new users become "
    "known, and other queries are scored without training. The policies see which answers the new users chose, but no "
    "rewards. Hyperparameters are tuned where all users have training decisions. Blind score: the router without the "
    "history of the user. Full score: the best score of any policy when all decisions of the new users on training "
    "queries are known. Share recovered: (score - blind score) / (full score - blind score)."
)
_RATIO = "score divided by full score at k = 30 is at least {}"


def tables(size: Size) -> list[Definition]:
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
        required(_RATIO.format("0.95") + " (arXiv 2511.16883 reports 0.6481)", ratio({30: 0.95})),
        aim(
            "the share recovered at k = 3, 10, 30 is at least 0.45, 0.75, 0.90",
            share({3: 0.45, 10: 0.75, 30: 0.90}),
        ),
        aim(_RATIO.format("0.98"), ratio({30: 0.98})),
    )
    return [Definition("new_users", "New users", _CAPTION, units, requirements)]
