"""Tables for multi-cost-efficiency users: each user weighs answer quality against cost with a weight of their own."""

from prouter_jax.evaluation.protocol.definition import Definition, Size, changed
from prouter_jax.evaluation.protocol.requirements import gain, interval_above, score, settings
from prouter_jax.evaluation.protocol.tables.base import (
    COST_MODEL,
    EVERY,
    EVERY_LOW,
    MCE,
    aim,
    by_seed,
    costs,
    costs_tuning,
    embedded,
    required,
    split_units,
    tuning,
)

_FEWER = 25  # users for tuning on large data sets
_RATINGS = {"data.feedback": "rating", "train.num_train_steps": 6, "train.eval_every_steps": 6}


def tables(size: Size) -> list[Definition]:
    """The definitions of the tables with multi-cost-efficiency users."""
    return [_alpaca(size), _large(size), _embedded(size)]


def _alpaca(size: Size) -> Definition:
    few, many = (costs(size, "alpaca_route", number, {"data.pool": "core"}) for number in (9, 1000))
    tuned = costs_tuning(size)
    return Definition(
        "costs_alpaca",
        "Multi-cost-efficiency, AlpacaEval",
        "Users choose the best of 10 answers. Hyperparameters are tuned on 9 users and 5 splits.",
        split_units(size, "9 users", few, tuned, 10) + split_units(size, "1,000 users", many, tuned, 10),
        (
            required(EVERY, gain(0)),
            required(
                "the lower end of the interval of the gain over every baseline is at least -0.001",
                gain(-0.001, low=True),
            ),
            aim("the gain over every baseline is at least 0.003", gain(0.003)),
        ),
    )


def _large(size: Size) -> Definition:
    units = []
    # many seeds where gains are small, several tuning splits where there are few queries
    for name, number, tuned_on in (("mmlu_route", 5, 1), ("mmlupro_route", 10, 1), ("zeroeval_route", 5, 5)):
        config = costs(size, name, 100, _RATINGS)
        few = changed(config, {"data.num_users": _FEWER})
        tuned = tuning(size, f"costs_{name}", few, trainings=1, seeds=tuned_on)
        units += split_units(size, name, config, tuned, number)
    return Definition(
        "costs_large",
        "Multi-cost-efficiency, right or wrong",
        f"100 users rate the answers of 2, 29 and 30 LLMs. Hyperparameters are tuned on {_FEWER} users; those of "
        "zeroeval_route on the validation parts of 5 splits.",
        by_seed(units),
        (
            required(f"mmlu_route: {EVERY}", gain(0, where=settings("mmlu_route"))),
            required(f"mmlupro_route: {EVERY_LOW}", interval_above(0, where=settings("mmlupro_route"))),
            aim("mmlu_route: the router's mean reward is at least 0.430", score(0.43, where=settings("mmlu_route"))),
            aim(
                "mmlupro_route: the gain over every baseline is at least 0.01",
                gain(0.01, where=settings("mmlupro_route")),
            ),
            aim(
                "zeroeval_route: the gain over every baseline is at least 0.01",
                gain(0.01, where=settings("zeroeval_route")),
            ),
        ),
    )


def _embedded(size: Size) -> Definition:
    weighing = embedded(size, {"data.users": MCE, "data.num_users": 1000, **COST_MODEL})
    judged = embedded(size, {"data.users": "llm_as_judge", "data.num_users": 1000})
    tuned = tuning(size, "embedded_costs", weighing, trainings=1, seeds=3)
    units = split_units(size, "multi-cost-efficiency", weighing, tuned, 3)
    units += split_units(size, "judged by style", judged, tuning(size, "embedded_judged", judged), 3)
    return Definition(
        "embedded",
        "Embedded benchmark, both kinds of simulated users",
        "1,000 users and 10 LLMs of the benchmark in the package: users who weigh quality against cost, and users "
        "whose choices the style judge makes.",
        by_seed(units),
        (required(EVERY, gain(0)),),
    )
