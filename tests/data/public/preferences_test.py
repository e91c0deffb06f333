"""PRISM: scores of people. GMTRouter: ratings of judges, of first steps alone."""

import numpy as np
import pytest
from public_facts import decision_facts, outcome_facts
from public_files import GMTROUTER, PRISM, gmtrouter_row, prism_answer
from table_files import write_rows

from prouter_jax.data.public.preferences import read_gmtrouter, read_prism


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


def test_an_empty_string_of_prism_is_no_text(tmp_path):
    mark = "EMPTY STRING"  # prism_codebook.pdf
    answers = [
        prism_answer("u", 0, 0, 0, "gpt-4", 10, model_response=mark),
        prism_answer("u", 0, 0, 1, "claude-2", 20, model_response=f"An {mark}"),
        prism_answer("u", 1, 0, 0, "gpt-4", 10, user_prompt=mark),
        prism_answer("u", 1, 0, 1, "claude-2", 20, user_prompt=mark),
    ]
    read = read_prism(write_rows(tmp_path / "utterances.jsonl", answers))
    assert [facts[-1] for facts in outcome_facts(read.data).values()] == ["", f"An {mark}"]
    assert read.dropped == {"answers to an empty prompt": 2}


def test_thoughts_before_a_published_answer_are_left_out_and_counted(tmp_path):
    answers = [
        prism_answer("u", 0, 0, 0, "gpt-4", 10, model_response="<think>hm</think>Yes"),
        prism_answer("u", 0, 0, 1, "claude-2", 20, model_response="No"),
    ]
    read = read_prism(write_rows(tmp_path / "utterances.jsonl", answers))
    assert [facts[-1] for facts in outcome_facts(read.data).values()] == ["Yes", "No"]
    assert read.dropped == {"thoughts of models before their answers": 1}


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
def test_a_bad_cell_of_prism_is_named(tmp_path, column, value, message):
    records = [dict(record) for record in PRISM]
    records[1][column] = value
    with pytest.raises(ValueError, match=f"^table utterances.jsonl, {message}"):
        read_prism(write_rows(tmp_path / "utterances.jsonl", records))


def test_no_decision_left_is_an_error_with_the_reasons(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", PRISM[3:5])
    with pytest.raises(ValueError, match=r"expected two rated answers to a query, found 2 answers after the opening"):
        read_prism(path)


BOTH = ("claude-v1", "gpt-4")


def test_a_group_is_a_decision_on_the_first_step(tmp_path):
    read = read_gmtrouter(write_rows(tmp_path / "training_set.jsonl", GMTROUTER))
    text = "q1, step 0?"
    assert decision_facts(read.data) == [
        ("judge0", "q1", text, BOTH, None, None, {("rating", "gpt-4"): 1.0, ("rating", "claude-v1"): 0.0}),
        ("judge1", "q1", text, BOTH, None, None, {("rating", "gpt-4"): 0.25, ("rating", "claude-v1"): 0.5}),
    ]
    assert read.dropped == {
        "later steps of conversations": 2,
        "conversations without a rated first step": 1,
        "rated answers without another beside them": 1,
    }
    assert outcome_facts(read.data)["q1", "gpt-4"] == (text, None, None, None, None, None, "gpt-4 0")
    assert read.data.queries.vectors is None


def test_each_turn_is_a_decision(tmp_path):
    again = [row | {"turn": 2} for row in GMTROUTER[:2]]
    read = read_gmtrouter(write_rows(tmp_path / "test_set.jsonl", [*GMTROUTER, *again]))
    assert [facts[0] for facts in decision_facts(read.data)] == ["judge0", "judge1", "judge0"]


def test_another_text_under_the_same_id_is_dropped(tmp_path):
    other = [gmtrouter_row("q1", 3, "judge0", model, 1.0) for model in BOTH]
    for row in other:
        row["conversation"][0]["query"] = "Something else"
    read = read_gmtrouter(write_rows(tmp_path / "test_set.jsonl", [*GMTROUTER, *other]))
    assert read.dropped["rated answers to another text than the query's first"] == 2
    assert len(read.data.decisions.user) == 2


def test_a_bad_cell_of_gmtrouter_is_named(tmp_path):
    rows = [dict(row) for row in GMTROUTER]
    rows[1]["conversation"] = [{"query": "Hi", "rating": "much"}]
    message = "^table a.jsonl, column conversation, column rating, row 1: expected a number in .*, found 'much'$"
    with pytest.raises(ValueError, match=message):
        read_gmtrouter(write_rows(tmp_path / "a.jsonl", rows))
