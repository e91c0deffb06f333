"""Tables by kind of feedback: choices among answers, choices and ratings that weigh quality against cost, and votes."""

from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Size, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import gain, gain_over_blind, interval_above, score, settings
from prouter_jax.evaluation.protocol.tables.base import (
    COST_MODEL,
    EVERY,
    EVERY_LOW,
    MCE,
    SOME_USERS,
    aim,
    by_seed,
    choices,
    choices_tuning,
    costs,
    costs_tuning,
    embedded,
    required,
    seeds,
    some_users,
    split_units,
    tuning,
    unit,
    votes,
)

_FEWER = 25  # users for tuning on large data sets
_RATINGS = {"data.feedback": "rating", "train.num_train_steps": 6, "train.eval_every_steps": 6}

_LOSS = "log_loss"
_KNOWN, _NEW = "votes held out", "new workers"


def choice_tables(size: Size) -> list[Definition]:
    """The definitions of the tables with choices."""
    return [_cold(size), _warm(size), _few(size)]


def cost_tables(size: Size) -> list[Definition]:
    """The definitions of the tables with multi-cost-efficiency users."""
    return [_alpaca(size), _large(size), _embedded(size)]


def vote_tables(size: Size) -> list[Definition]:
    """The definitions of the table of votes."""
    config = votes(size)
    tuned = tuning(size, "votes", config, metric=_LOSS, trainings=10, seeds=2)
    new = changed(config, {"data.split": "warm_user"})
    ks = (0, 3) if size.small else (0, 3, 10, 30)
    arguments = {"setting": _NEW, "config": to_arguments(new), "metric": _LOSS, "tuning": tuned, "ks": ks}
    units = [unit(size, _NEW, measure.measure_new_users, seed=seed, **arguments) for seed in seeds(size, 10)]
    aims = {0: 0.79, 3: 0.80, 10: 0.81, 30: 0.83}
    return [
        Definition(
            "votes",
            "Votes of real people",
            "80 crowd workers vote between two of 50 LLMs on 13 prompts. Ties count in the log loss, not in the "
            "accuracy. The order in which the answers were shown is known. New workers are absent from training; k of "
            "their votes are known.",
            split_units(size, _KNOWN, config, tuned, 10, _LOSS) + units,
            (
                required("the log loss is not higher than any baseline's", gain(0)),
                required(
                    "new workers: the log loss is never above the blind score", gain_over_blind(0, where=settings(_NEW))
                ),
                aim("votes held out: accuracy at least 0.81", score(0.81, where=settings(_KNOWN)), "accuracy"),
                aim(
                    "new workers: accuracy at least 0.79, 0.80, 0.81, 0.83 at k = 0, 3, 10, 30",
                    score(aims, where=settings(_NEW)),
                    "accuracy",
                ),
            ),
        )
    ]


def _cold(size: Size) -> Definition:
    config = choices(size)
    return Definition(
        "choices_cold",
        "Choices, new queries",
        "1,000 users choose among 10 answers to AlpacaEval's instructions; the test queries are absent from "
        f"training. Hyperparameters are tuned on {SOME_USERS} of the users.",
        split_units(size, "cold queries", config, choices_tuning(size), 10),
        (
            required(EVERY, gain(0)),
            required(
                "the interval of the gain over each user's favourite LLM is above 0", interval_above(0, "best_per_user")
            ),
            aim("the gain over kernel ridge is at least 0.003", gain(0.003, "kernel_ridge")),
        ),
    )


def _warm(size: Size) -> Definition:
    config = choices(size, {"data.split": "warm_query"})
    tuned = tuning(size, "choices_warm", some_users(size, config), trainings=8)
    return Definition(
        "choices_warm",
        "Choices, queries in training",
        "Pairs of user and query are held out; the choices of other users on the query are training data.",
        split_units(size, "70 % of pairs seen", config, tuned, 5),
        (required(EVERY, gain(0)), aim("the router's mean reward is at least 0.82", score(0.82))),
    )


def _few(size: Size) -> Definition:
    config = choices(size, {"data.split": "warm_query", "data.decisions_per_user": 20})
    return Definition(
        "choices_warm_20",
        "Choices, queries in training, 20 decisions of each user",
        "As in the table before, but with 20 training decisions of each user.",
        split_units(size, "20 decisions seen", config, tuning(size, "choices_warm_20", config, trainings=8), 5),
        (
            required(EVERY_LOW, interval_above(0)),
            aim("the gain over every baseline is at least 5 % of its reward", gain(0.05, relative=True)),
        ),
    )


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
