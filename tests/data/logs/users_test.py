"""Users of a log: how many there are, and whether one has most of the rows, over pieces."""

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data.logs.users import UserCounts, names, user_names


def _counts(*pieces):
    counts = UserCounts()
    for piece in pieces:
        counts.add(pa.array(piece))
    return counts


def test_users_are_counted_over_pieces():
    rng = np.random.default_rng(0)
    pieces = [[f"u{number}" for number in rng.integers(0, 500, 700)] for _ in range(9)]
    counts = _counts(*pieces)
    assert counts.users == len({user for piece in pieces for user in piece})
    assert counts.rows == 6300
    counts.check(("user",))


@pytest.mark.parametrize("share", [0.45, 0.55, 0.9])
def test_the_user_with_most_rows_is_found_among_many(share):
    rng = np.random.default_rng(1)
    drawn = [(rng.random(1000) < share, rng.integers(0, 10**6, 1000)) for _ in range(8)]
    pieces = [["owner" if own else f"u{other}" for own, other in zip(*piece, strict=True)] for piece in drawn]
    counts = _counts(*pieces)
    user, rows = counts.first()
    assert (user, rows) == ("owner", sum(piece.count("owner") for piece in pieces))
    if share > 0.5:
        with pytest.raises(ValueError, match=r"column end_user: expected many users, found 'owner' in .* of 8,000"):
            counts.check(("end_user",))
    else:
        counts.check(("end_user",))


def test_a_small_log_may_be_of_one_user():
    _counts(["u"] * 199).check(("user",))
    with pytest.raises(ValueError, match="expected many users"):
        _counts(["u"] * 200).check(("user",))


def test_marks_of_none_are_no_names_of_llms_either_but_anonymous_is_one():
    column = pa.array(["gpt", "None", " null ", "anonymous", '{"a": 1}', "", None, "[x]"])
    assert names(column)[0].to_pylist() == ["gpt", None, None, "anonymous", None, None, None, "[x]"]
    assert user_names(column)[0].to_pylist() == ["gpt", None, None, None, None, None, None, "[x]"]
