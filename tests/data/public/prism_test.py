"""PRISM's utterances: opening turns as decisions, scores as ratings."""

import numpy as np
import pytest
from public_facts import decision_facts, outcome_facts
from public_files import PRISM
from table_files import write_rows

from prouter_jax.data.public.prism import read_prism


def test_the_opening_turn_is_a_decision_and_scores_are_ratings(tmp_path):
    read = read_prism(write_rows(tmp_path / "utterances.jsonl", PRISM))
    everyone = ("claude-2", "gpt-4", "zephyr-7b")
    ratings = {("rating", "gpt-4"): 1.0, ("rating", "claude-2"): 0.0, ("rating", "zephyr-7b"): np.float32(1 / 3)}
    equal = {("rating", "gpt-4"): np.float32(2 / 3), ("rating", "claude-2"): np.float32(2 / 3)}
    assert decision_facts(read.data) == [
        ("user0", "int00", "Is conversation 0 fair, turn 0?", everyone, None, None, ratings),
        ("user1", "int10", "Is conversation 1 fair, turn 0?", everyone[:2], None, None, equal),
    ]
    found = outcome_facts(read.data)
    question = "Is conversation 0 fair, turn 0?"
    answer = 'gpt-4 says\n"yes" to 0 é'
    assert found["int00", "gpt-4"] == (question, "values guided", None, None, None, None, answer)
    assert len(found) == 5
    assert list(read.data.users.ids) == ["user0", "user1"]


def test_dropped_answers_are_counted(tmp_path):
    read = read_prism(write_rows(tmp_path / "utterances.jsonl", PRISM))
    assert read.records == len(PRISM)
    assert read.dropped == {
        "answers after the opening turn": 2,
        "answers without a score": 1,
        "answers to an empty prompt": 1,
        "rated answers without another beside them": 1,
    }
    twice = [*PRISM, PRISM[0] | {"score": 7}]
    read = read_prism(write_rows(tmp_path / "utterances.jsonl", twice))
    assert read.dropped["second answers of an LLM in a decision"] == 1
    assert decision_facts(read.data)[0][-1]["rating", "gpt-4"] == 1.0


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("score", 101, r"column score, row 1: expected a number in \[1, 100\], found 101"),
        ("score", "good", r"column score, row 1: expected a number in \[1, 100\], found 'good'"),
        ("turn", 0.5, "column turn, row 1: expected a whole number, found 0.5"),
        ("turn", None, "column turn, row 1: expected a whole number, found nothing"),
        ("model_name", None, "column model_name, row 1: expected an id, found nothing"),
        ("user_id", "other", "column user_id, row 1: expected what the interaction began with, 'user0', found 'other'"),
        ("user_prompt", "Else?", "column user_prompt, row 1: expected what the interaction began with, .* found 'Else"),
        ("model_response", {"a": "b"}, "column model_response, row 1: expected a text, found {'a': 'b'}"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, value, message):
    records = [dict(record) for record in PRISM]
    records[1][column] = value
    with pytest.raises(ValueError, match=f"^table utterances.jsonl, {message}"):
        read_prism(write_rows(tmp_path / "utterances.jsonl", records))


def test_no_decision_left_is_an_error_with_the_reasons(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", PRISM[3:5])
    with pytest.raises(ValueError, match=r"expected two rated answers to a query, found 2 answers after the opening"):
        read_prism(path)
