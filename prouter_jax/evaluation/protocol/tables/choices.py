"""Tables for 1,000 users who choose among answers: on new queries, and on queries on which other users have chosen."""

from prouter_jax.evaluation.protocol.definition import Definition, Size
from prouter_jax.evaluation.protocol.requirements import gain, interval_above, score
from prouter_jax.evaluation.protocol.tables.base import (
    EVERY,
    EVERY_LOW,
    SOME_USERS,
    aim,
    choices,
    choices_tuning,
    required,
    some_users,
    split_units,
    tuning,
)


def tables(size: Size) -> list[Definition]:
    """The definitions of the tables with choices."""
    return [_cold(size), _warm(size), _few(size)]


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
