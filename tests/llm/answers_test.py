"""Journals of answers and failures: their fields and costs."""

import json

import pytest

from prouter_jax.llm.answers import ANSWERS, FAILURES, open_answers

ANSWER = {"key": "k", "llm": "a", "query_id": "q", "text": "t", "finish_reason": "stop", "cost": 0.5}
ANSWER |= {"input_tokens": 1, "output_tokens": 2, "counted": True}
FAILURE = {"key": "l", "llm": "a", "query_id": "r", "reason": "HTTP 400", "cost": 0.25}


def _write(folder, answer, failure):
    (folder / ANSWERS).write_text(json.dumps(answer) + "\n")
    (folder / FAILURES).write_text(json.dumps(failure) + "\n")


def test_answers_and_failures_are_apart_but_both_were_paid(tmp_path):
    _write(tmp_path, ANSWER, FAILURE)
    with open_answers(tmp_path) as store:
        assert store.spent == 0.75
        assert (list(store.answers.records), list(store.failures.records)) == (["k"], ["l"])


@pytest.mark.parametrize(
    "change", [{"text": None}, {"input_tokens": -1}, {"output_tokens": 1.5}, {"cost": -1}, {"x": 1}]
)
def test_a_line_that_is_no_answer_is_named(tmp_path, change):
    _write(tmp_path, ANSWER | change, FAILURE)
    with (
        pytest.raises(ValueError, match=r"^table answers\.jsonl, row 0: expected an answer, found "),
        open_answers(tmp_path),
    ):
        pass


@pytest.mark.parametrize("change", [{"reason": None}, {"cost": -1}, {"key": 1}])
def test_a_line_that_is_no_failure_is_named(tmp_path, change):
    _write(tmp_path, ANSWER, FAILURE | change)
    with (
        pytest.raises(ValueError, match=r"^table failures\.jsonl, row 0: expected a failure, found "),
        open_answers(tmp_path),
    ):
        pass
