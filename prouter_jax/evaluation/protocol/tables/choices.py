"""Choices of 1,000 users, on new queries and on queries that other users have judged."""

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
    return [_cold(size), _warm(size), _few(size)]


def _cold(size: Size) -> Definition:
    config = choices(size)
    return Definition(
        "choices_cold",
        "Choices, new queries",
        "1,000 users choose among 10 answers to AlpacaEval's instructions; nobody asked a test query before. "
        f"Settings are tuned on {SOME_USERS} of the users.",
        split_units(size, "cold queries", config, choices_tuning(size), 10),
        (
            required(EVERY, gain(0)),
            required("interval above 0 against the user's own favourite", interval_above(0, "best_per_user")),
            aim("0.003 over kernel ridge", gain(0.003, "kernel_ridge")),
        ),
    )


def _warm(size: Size) -> Definition:
    config = choices(size, {"data.split": "warm_query"})
    tuned = tuning(size, "choices_warm", some_users(size, config), trainings=8)
    return Definition(
        "choices_warm",
        "Choices, known queries",
        "Pairs of user and query are held out; what the others chose on the query is seen.",
        split_units(size, "70 % of pairs seen", config, tuned, 5),
        (required(EVERY, gain(0)), aim("accuracy 0.82", score(0.82))),
    )


def _few(size: Size) -> Definition:
    config = choices(size, {"data.split": "warm_query", "data.decisions_per_user": 20})
    return Definition(
        "choices_warm_20",
        "Choices, known queries, 20 decisions of each user",
        "As before, where 20 training decisions of each user are seen.",
        split_units(size, "20 decisions seen", config, tuning(size, "choices_warm_20", config, trainings=8), 5),
        (required(EVERY_LOW, interval_above(0)), aim("5 % over every baseline", gain(0.05, relative=True))),
    )
