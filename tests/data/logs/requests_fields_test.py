"""The names of columns: the usual ones, others that are named, and what is no name."""

import pytest

from prouter_jax.data.logs.requests import FIELDS, parse_columns, parse_range


def test_named_columns_stand_alone_and_the_others_keep_their_usual_names():
    found = parse_columns("user=customer_id,served=deployment")
    assert found["user"] == ("customer_id",)
    assert found["served"] == ("deployment",)
    assert found | {"user": FIELDS["user"], "served": FIELDS["served"]} == FIELDS
    assert parse_columns("") == FIELDS


@pytest.mark.parametrize("text", ["user", "user=", "nobody=x", "user=a,user=b"])
def test_what_is_no_name_of_a_column_is_told(text):
    with pytest.raises(ValueError, match="columns: expected FIELD=COLUMN"):
        parse_columns(text)


def test_a_range_of_ratings_is_two_numbers_that_rise():
    assert parse_range("1:5") == (1.0, 5.0)
    for text in ("", "5", "5:1", "1:1", "a:b", "0:inf", "nan:1"):
        with pytest.raises(ValueError, match="rating_range: expected LOW:HIGH"):
            parse_range(text)
