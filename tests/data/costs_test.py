"""Costs of answers follow from prices and tokens; where nothing is known, the error says what would do."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.costs import with_costs
from prouter_jax.data.interactions import Interactions, strings
from prouter_jax.data.public.builder import InteractionsBuilder

NONE = float("nan")


def _data(prices=(1.0, 2.0), response="x" * 40, **numbers) -> Interactions:
    builder = InteractionsBuilder()
    query = builder.add_query("q", "y" * 20)
    for llm in "ab":
        builder.add_outcome(query, builder.llms[llm], response, effect=0.5, **numbers)
    data = builder.build()
    columns = dict(zip(("input_price", "output_price"), ([price, NONE] for price in prices), strict=True))
    llms = dataclasses.replace(data.llms, **{name: np.array(values) for name, values in columns.items()})
    return data.replace(llms=llms)


@pytest.mark.parametrize(
    ("numbers", "cost"),
    [
        ({}, (1.0 * 5 + 2.0 * 10) / 1e6),
        ({"input_tokens": 100, "output_tokens": 200}, (1.0 * 100 + 2.0 * 200) / 1e6),
        ({"output_tokens": 200}, (1.0 * 5 + 2.0 * 200) / 1e6),
        ({"output_tokens": 0}, 5e-6),
    ],
)
def test_a_missing_cost_is_prices_times_tokens(capsys, numbers, cost):
    found = with_costs(_data(**numbers), "mine").outcomes.cost
    np.testing.assert_allclose(found, [cost, NONE])
    said = capsys.readouterr().err
    assert "mine: costs of 1 answers are prices times tokens" in said
    assert ("with tokens of 1 counted at four characters each" in said) == ("output_tokens" not in numbers)


def test_a_known_cost_stays(capsys):
    np.testing.assert_array_equal(with_costs(_data(cost=7.0), "mine").outcomes.cost, [7, 7])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (_data(prices=(NONE, NONE)), "2 effects, 0 costs, prices of 0 LLMs, tokens or texts of 2"),
        (_data(response=""), "2 effects, 0 costs, prices of 1 LLMs, tokens or texts of 0"),
    ],
)
def test_without_costs_the_error_says_what_would_do(data, found):
    message = f"^mine: expected an effect and a cost .* found of 2 answers: {found}; a column cost of outcomes would do"
    with pytest.raises(ValueError, match=message):
        with_costs(data, "mine")


def test_without_effects_costs_do_not_help():
    data = _data(cost=1.0)
    data = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=np.array([NONE, NONE])))
    with pytest.raises(ValueError, match="0 effects, 2 costs"):
        with_costs(data, "mine")


def test_no_answers_at_all():
    data = _data()
    nothing = {field.name: getattr(data.outcomes, field.name) for field in dataclasses.fields(data.outcomes)}
    empty = {name: None if values is None else values[:0] for name, values in nothing.items()}
    with pytest.raises(ValueError, match="found of 0 answers"):
        with_costs(data.replace(outcomes=type(data.outcomes)(**empty | {"response": strings([])})), "mine")
