"""Rows of a log: which are kept, what is in them, and why the others are dropped."""

import json

import numpy as np
import pyarrow as pa
import pytest
from log_files import ROW

from prouter_jax.data.logs import requests as module
from prouter_jax.data.logs.reader import LineParser
from prouter_jax.data.logs.requests import FIELDS, parse_columns, parse_range, read_requests


def _read(rows, rating_range=None, columns=FIELDS):
    table, none = next(LineParser(columns).parse("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert not none
    return read_requests(table, columns, rating_range)


BAD = {
    "no user": {"user": None},
    "no query": {"prompt": ""},
    "no model served": {"model": None},
    "candidates not readable": {"candidates": []},
    "served model not among the candidates": {"candidates": ["b"]},
    "cost not readable": {"cost": "high"},
    "cost below 0": {"cost": -1},
    "input_tokens not readable": {"input_tokens": True},
    "latency below 0": {"latency": -0.1},
    "thumb not readable": {"thumb": 0},
    "rating not readable": {"rating": "good"},
    "rating outside 1:5": {"rating": 6},
    "time not readable": {"time": "yesterday"},
    "propensity outside (0, 1]": {"propensity": 0},
    "propensity not readable": {"propensity": "p"},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_dropped_for_its_reason_and_its_neighbours_are_not(reason):
    found, dropped = _read([ROW, ROW | BAD[reason], ROW | {"user": "v", "model": "b", "cost": 2}], (1, 5))
    assert found.user.to_pylist() == ["u", "v"]
    assert [found.llms[llm] for llm in found.served] == ["a", "b"]
    assert found.numbers["cost"][1] == 2
    assert dropped == {reason: 1}
    assert len(found.served) == len(found.offer) == len(found.reward) == len(found.numbers["cost"]) == 2


def test_a_row_with_several_faults_counts_once():
    assert _read([ROW, ROW | {"user": None, "cost": -1, "propensity": 2}])[1] == {"no user": 1}


def test_what_is_in_a_row():
    told = {"candidates": ["a", "c"], "cost": 0.5, "output_tokens": 3, "latency": 2, "time": 7, "propensity": 0.25}
    found, _ = _read([ROW | told | {"task": "t"}, ROW | {"model": "d", "candidates": None, "thumb": "down"}])
    assert [found.llms[llm] for llm in found.served] == ["a", "d"]
    assert [found.llms[llm] for llm in np.flatnonzero(found.sets[found.offer[0]])] == ["a", "c"]
    assert found.offer[1] == -1
    assert found.task.to_pylist() == ["t", None]
    assert {name: values[0] for name, values in found.numbers.items()} == {
        "input_tokens": pytest.approx(np.nan, nan_ok=True),
        **{name: told[name] for name in ("output_tokens", "cost", "latency", "time", "propensity")},
    }
    np.testing.assert_array_equal(found.reward, [np.nan, 0])


def test_ratings_go_before_thumbs_and_are_brought_to_the_unit_range():
    rows = [ROW | {"rating": 4, "thumb": "down"}, ROW | {"thumb": "up"}]
    found, _ = _read(rows, (1, 5))
    assert found.reward.tolist() == [0.75, 1.0]
    assert found.rated.tolist() == [True, False]
    assert _read(rows)[0].reward.tolist() == [4.0, 1.0]


def test_the_first_usual_name_with_a_cell_counts_and_a_named_column_alone():
    rows = [{"user_id": "b", "prompt": "p", "model": "m"}, {"user": "a", "user_id": "b", "prompt": "p", "model": "m"}]
    assert _read(rows)[0].user.to_pylist() == ["b", "a"]
    assert _read(rows, columns=parse_columns("user=user_id"))[0].user.to_pylist() == ["b", "b"]


def test_a_prompt_goes_before_messages():
    messages = [{"role": "user", "content": "from messages"}]
    rows = [ROW | {"messages": messages}, {"user": "u", "messages": messages, "model": "a"}]
    assert _read(rows)[0].query.to_pylist() == ["Hi", "from messages"]


def test_too_many_llms_are_no_llms(monkeypatch):
    monkeypatch.setattr(module, "MOST_LLMS", 3)
    with pytest.raises(ValueError, match="at most 3 different LLMs, found 5"):
        _read([{"user": "u", "prompt": "p", "model": str(number)} for number in range(5)])


def test_no_row_may_be_left():
    found, dropped = _read([ROW | {"user": None}])
    assert len(found.served) == 0
    assert dropped == {"no user": 1}
    empty = pa.table({"user": pa.nulls(0)})
    assert len(read_requests(empty, FIELDS, None)[0].served) == 0


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
