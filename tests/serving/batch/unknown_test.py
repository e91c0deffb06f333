"""Rows with unknown users and queries are counted over chunks, and a file of unknown users alone is warned of."""

import numpy as np
import pyarrow as pa

from prouter_jax.serving.batch.unknown import UnknownCounter
from prouter_jax.serving.batch.write import Scored

USERS, IDS, TEXTS = ["u00", "u01"], ["q0", "q1"], ["What?", "Why?"]


def _counter(bases):
    """Scores chunks by the bases of their rows; None is an error."""
    left = iter(bases)

    def score(columns):
        basis = pa.array(next(left), pa.string())
        number = len(columns["user_id"])
        assert len(basis) == number
        return Scored(basis, ["a"], np.zeros((number, 1)), basis, pa.nulls(number, pa.string()))

    return UnknownCounter(score, USERS, IDS, TEXTS)


def test_rows_are_counted_over_chunks():
    counter = _counter([["history", "cold_start", None], ["cold_start", "history"]])
    counter({"user_id": pa.array(["u00", "x", None]), "query": pa.array(["What?", "New", "Why?"])})
    counter({"user_id": pa.array(["y", "u01"]), "query": pa.array(["New", None]), "query_id": pa.array(["q1", "q9"])})
    assert (counter.rows, counter.users, counter.queries) == (4, 2, 2)
    assert counter.lines() == ["2 of 4 rows have users without history, 2 have new queries"]


def test_ids_in_another_case_are_pointed_out():
    counter = _counter([["cold_start", "cold_start"]])
    counter({"user_id": pa.array(["U01", "U00"]), "query_id": pa.array(["q0", "q1"])})
    said, warning = counter.lines()
    assert said == "2 of 2 rows have users without history, 0 have new queries"
    assert warning == "warning: no user of the file has a history; the first is 'U01', is it u01?"


def test_other_unknown_users_are_warned_of_with_examples():
    counter = _counter([["cold_start"]])
    counter({"user_id": pa.array(["zoe"]), "query": pa.array(["What?"])})
    assert counter.lines()[1].endswith("the first is 'zoe', the router knows u00, u01, ...")


def test_a_file_of_errors_says_nothing():
    counter = _counter([[None]])
    counter({"user_id": pa.array([None], pa.string()), "query": pa.array(["What?"])})
    assert counter.lines() == []
