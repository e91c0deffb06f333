"""What `validate` accepts and refuses."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import no_decisions, no_feedback, take
from prouter_jax.data.validation import validate


def _with(data, table, column, row, value):
    values = getattr(getattr(data, table), column).copy()
    values[row] = value
    return data.replace(**{table: dataclasses.replace(getattr(data, table), **{column: values})})


def test_good_data_passes_as_it_is(two_users):
    assert validate(two_users) is two_users
    validate(two_users.replace(decisions=no_decisions(), feedback=no_feedback(), offers=np.zeros((0, 3), bool)))


def test_nobody_need_have_been_shown_first(two_users):
    offers = two_users.offers & [[True, True, False], [True, True, True]]
    validate(two_users.replace(offers=offers))


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "complaint"),
    [
        ("users", "ids", 1, "u", "column user_id, row 1: expected unique ids (row 0 has the same), found 'u'"),
        ("llms", "ids", 2, "", "column llm, row 2: expected an id, found ''"),
        ("decisions", "ids", 1, "d", "column decision_id, row 1: expected unique ids (row 0 has the same)"),
        ("users", "preference", 0, -0.1, "column preference, row 0: expected a number in [0, 1], found -0.1"),
        ("llms", "input_price", 1, np.inf, "column input_price, row 1: expected a number in [0, 1,000,000], found inf"),
        ("outcomes", "effect", 1, 1.01, "column effect, row 1: expected a number in [0, 1], found 1.01"),
        ("outcomes", "cost", 2, -1, "column cost, row 2: expected a number in [0, 1,000,000], found -1.0"),
        (
            "llms",
            "output_price",
            0,
            1e100,
            "column output_price, row 0: expected a number in [0, 1,000,000], found 1e+100",
        ),
        ("outcomes", "cost", 1, 1e18, "column cost, row 1: expected a number in [0, 1,000,000], found 1e+18"),
        (
            "outcomes",
            "input_tokens",
            0,
            1e12,
            "column input_tokens, row 0: expected a number in [0, 1,000,000,000], found",
        ),
        ("feedback", "value", 1, -1e30, "column value, row 1: expected a number in [-1,000,000, 1,000,000], found -1"),
        ("outcomes", "llm", 1, 0, "column query_id and llm, row 1: expected each pair once, found 'x, a'"),
        ("outcomes", "query", 1, 3, "column query, row 1: expected a row of queries, found 3"),
        ("queries", "task", 2, -2, "column task, row 2: expected a row of tasks, found -2"),
        ("decisions", "offer", 1, 2, "column offer, row 1: expected a row of offers, found 2"),
        ("decisions", "time", 1, np.inf, "column time, row 1: expected a finite number, found inf"),
        ("decisions", "first", 0, 3, "column first, row 0: expected a row of llms, or -1, found 3"),
        ("decisions", "first", 1, -2, "column first, row 1: expected a row of llms, or -1, found -2"),
        ("decisions", "first", 1, 0, "column first, row 1: expected an LLM on offer in its decision, found 'a'"),
        ("feedback", "llm", 3, 0, "column llm, row 3: expected an LLM on offer in its decision, found 'a'"),
        ("feedback", "llm", 3, 1, "column llm, row 3: expected each LLM once a decision and kind, found 'b'"),
        ("feedback", "kind", 0, 3, "column kind, row 0: expected a row of KINDS, found 3"),
        (
            "feedback",
            "value",
            1,
            np.nan,
            "column value, row 1: expected a number in [-1,000,000, 1,000,000], found NaN",
        ),
        ("feedback", "value", 0, 0, "column value, row 0: expected a share in (0, 1], found 0.0"),
        ("feedback", "value", 3, 1, "column value, row 2: expected shares of one choice that add up to 1"),
    ],
)
def test_a_bad_value_is_named(table, column, row, value, complaint, two_users):
    with pytest.raises(ValueError, match="expected") as caught:
        validate(_with(two_users, table, column, row, value))
    assert str(caught.value).startswith(f"table {table}, {complaint}")


def test_tables_go_by_the_names_they_are_given(two_users):
    data = _with(two_users, "outcomes", "effect", 0, 2)
    with pytest.raises(ValueError, match=r"^table o\.csv, column effect, row 0: "):
        validate(data, {"outcomes": "o.csv"})


def test_columns_of_unequal_length_are_named(two_users):
    short = dataclasses.replace(two_users.outcomes, cost=np.zeros(2))
    with pytest.raises(ValueError, match="table outcomes, column cost: expected 3 rows, found 2"):
        validate(two_users.replace(outcomes=short))
    with pytest.raises(ValueError, match="table offers: expected 3 columns of LLMs"):
        validate(two_users.replace(offers=two_users.offers[:, :2]))


def test_style_is_known_or_not(two_users):
    def styled(style):
        return two_users.replace(outcomes=dataclasses.replace(two_users.outcomes, style=np.array(style)))

    nan = np.nan
    validate(styled([[1.0, 2.0], [nan, nan], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="table outcomes, column style, row 1: expected finite numbers, or NaN alone"):
        validate(styled([[1.0, 2.0], [nan, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="row 0: expected finite numbers"):
        validate(styled([[1.0, np.inf], [nan, nan], [0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"expected floats \[outcomes, features\], found float64 of shape \(3,\)"):
        validate(styled([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="column style: expected 3 rows, found 2"):
        validate(styled([[1.0], [2.0]]))


def test_there_must_be_queries_and_llms(two_users):
    with pytest.raises(ValueError, match="table llms: expected at least one row, found none"):
        validate(two_users.replace(llms=take(two_users.llms, np.zeros(0, int))))
