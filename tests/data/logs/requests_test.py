"""Rows of a log: which are kept, what is in them, and why the others are dropped."""

import json

import numpy as np
import pyarrow as pa
import pytest
from log_files import ROW

from prouter_jax.data.logs import requests as module
from prouter_jax.data.logs.fields import FIELDS, parse_columns
from prouter_jax.data.logs.json_lines import LineParser
from prouter_jax.data.logs.pieces import Piece
from prouter_jax.data.logs.requests import RequestReader, parse_range


def _piece(rows, columns=FIELDS):
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return Piece(**vars(next(LineParser(columns).parse(lines, 1))), file="log.jsonl", unit="line")


def _read(rows, rating_range=None, columns=FIELDS):
    """The usable rows, and the number of the others by reason."""
    piece = _piece(rows, columns)
    assert not piece.dropped
    found, reasons = RequestReader(columns, rating_range).read(piece)
    return found, {reason: number for reason, number, _ in reasons}


BAD = {
    "no user": {"user": None},
    "no query": {"prompt": ""},
    "no model served": {"model": None},
    "candidates not readable": {"candidates": []},
    "served model not among the candidates": {"candidates": ["b"]},
    "cost not readable": {"cost": "high"},
    "cost below 0": {"cost": -1},
    "cost too large": {"cost": 1e39},
    "output_tokens too large": {"output_tokens": 1e10},
    "input_tokens not readable": {"input_tokens": True},
    "latency below 0": {"latency": -0.1},
    "rating not readable": {"rating": "good"},
    "rating outside 1:5": {"rating": 6},
    "rating too large": {"rating": 1e300},
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
    assert len(found.served) == len(found.offer) == len(found.thumb) == len(found.numbers["cost"]) == 2


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
        "rating": pytest.approx(np.nan, nan_ok=True),
        **{name: told[name] for name in ("output_tokens", "cost", "latency", "time", "propensity")},
    }
    assert found.thumb.tolist() == [-1, 0]


def test_the_first_usual_name_with_a_cell_counts_and_a_named_column_alone():
    rows = [{"user_id": "b", "prompt": "p", "model": "m"}, {"user": "a", "prompt": "p", "model": "m"}]
    assert _read(rows)[0].user.to_pylist() == ["b", "a"]
    rows = [{"user": "a", "user_id": "b", "prompt": "p", "model": "m"}]
    assert _read(rows, columns=parse_columns("user=user_id"))[0].user.to_pylist() == ["b"]


def test_a_row_with_two_users_is_an_error_that_names_both_columns():
    rows = [{"user": "a", "user_id": "a", "prompt": "p", "model": "m"}]
    assert _read(rows)[0].user.to_pylist() == ["a"]
    rows.append({"user": "owner", "end_user": "customer", "prompt": "p", "model": "m"})
    with pytest.raises(ValueError, match=r"log.jsonl, line 2: .* column user and another in column end_user; set"):
        _read(rows)


NO_USERS = [
    "",
    "   ",
    "\t",
    "None",
    "null",
    "NULL",
    "nan",
    "anonymous",
    "undefined",
    '{"id": 1}',
    "[]",
    "{'a': 1}",
    "N/A",
]


@pytest.mark.parametrize("user", NO_USERS)
def test_a_mark_of_no_user_is_no_user(user):
    found, dropped = _read([ROW, ROW | {"user": user}])
    assert found.user.to_pylist() == ["u"]
    assert dropped == {"unnamed user" if user.strip() else "no user": 1}


def test_a_user_may_be_a_number():
    for users, expected in (([1.0, 2.0], ["1", "2"]), ([3, "x"], ["3", "x"]), ([1.0, "x"], ["1", "x"])):
        assert _read([ROW | {"user": user} for user in users])[0].user.to_pylist() == expected


def test_tokens_of_0_and_0_are_not_known():
    found, _ = _read([ROW | {"input_tokens": 0, "output_tokens": 0}, ROW | {"input_tokens": 5, "output_tokens": 0}])
    np.testing.assert_array_equal(found.numbers["input_tokens"], [np.nan, 5])
    np.testing.assert_array_equal(found.numbers["output_tokens"], [np.nan, 0])


def test_times_in_any_unit_come_in_one_order_and_a_0_among_dates_is_dropped():
    times = [1716990379963, 1726990379, "2024-09-30T00:00:00Z", 0]
    found, dropped = _read([ROW | {"time": time} for time in times])
    np.testing.assert_allclose(found.numbers["time"], [1716990379.963, 1726990379, 1727654400])
    assert dropped == {"time is no date": 1}


def test_times_that_are_no_dates_are_an_order_and_dates_after_them_an_error():
    assert _read([ROW | {"time": 7}, ROW | {"time": 3}])[0].numbers["time"].tolist() == [7, 3]
    reader = RequestReader(FIELDS)
    reader.read(_piece([ROW | {"time": 7}]))
    with pytest.raises(ValueError, match="expected dates in all rows or in none"):
        reader.read(_piece([ROW | {"time": "2024-05-01"}]))


TEXTLESS = [
    "",
    "  \n",
    [],
    [{"type": "image_url", "image_url": {"url": "data:x"}}],
    [{"type": "text", "text": " "}],
    None,
]


@pytest.mark.parametrize("content", TEXTLESS)
def test_a_last_message_without_text_is_no_query_wherever_it_stands(content):
    asked = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"}]
    messages = [*asked, {"role": "user", "content": content}]
    rows = [{"user": "u", "model": "a", "prompt": "Hi"}]
    for cell in (messages, json.dumps(messages)):
        for row in ({"messages": cell}, {"prompt": cell}):
            found, dropped = _read([*rows, {"user": "u", "model": "a"} | row])
            assert (found.query.to_pylist(), dropped) == (["Hi"], {"no query": 1})


FORMS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]}],
    [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
    [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}],
    [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}],
    {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
    {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    {"model": "m", "input": "Hello"},
]


@pytest.mark.parametrize("cell", FORMS)
@pytest.mark.parametrize("column", ["messages", "prompt", "input"])
def test_the_question_is_found_in_the_forms_of_the_usual_apis(cell, column):
    for value in (cell, json.dumps(cell)):
        if column != "messages" and isinstance(value, str) and "role" not in value and "from" not in value:
            continue  # a text of JSON without messages is a question
        assert _read([{"user": "u", "model": "a", column: value}])[0].query.to_pylist() == ["Hello"]


def test_a_question_in_json_is_a_question():
    for prompt in ('{"a": 1}', "[1, 2]", '["role"]', '[{"role": 5'):
        assert _read([ROW | {"prompt": prompt}])[0].query.to_pylist() == [prompt]


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
    empty = Piece(pa.table({"user": pa.nulls(0)}), np.zeros(0, int), [], "log.parquet", "row")
    assert len(RequestReader(FIELDS).read(empty)[0].served) == 0


def test_named_columns_stand_alone_and_the_others_keep_their_usual_names():
    found = parse_columns("user=customer_id,served=deployment")
    assert found["user"] == ("customer_id",)
    assert found["served"] == ("deployment",)
    assert found | {"user": FIELDS["user"], "served": FIELDS["served"]} == FIELDS
    assert parse_columns("") == FIELDS
    assert parse_columns("model=deployment, thumb=")["served"] == ("deployment",)
    assert parse_columns("thumb=")["thumb"] == ()
    assert parse_columns("prompt=text") | {"query": (), "messages": ()} == FIELDS | {"query": (), "messages": ()}
    assert parse_columns("prompt=text")["messages"] == ()


@pytest.mark.parametrize("text", ["user", "user=", "nobody=x", "user=a,user=b"])
def test_what_is_no_name_of_a_column_is_told(text):
    with pytest.raises(ValueError, match="columns: expected FIELD=COLUMN"):
        parse_columns(text)


def test_a_range_of_ratings_is_two_numbers_that_rise():
    assert parse_range("1:5") == (1.0, 5.0)
    for text in ("", "5", "5:1", "1:1", "a:b", "0:inf", "nan:1"):
        with pytest.raises(ValueError, match="rating_range: expected LOW:HIGH"):
            parse_range(text)
