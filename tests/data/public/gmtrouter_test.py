"""GMTRouter's JSONL: groups of rated answers."""

import pytest
from public_facts import decision_facts, outcome_facts
from public_files import GMTROUTER, gmtrouter_row
from table_files import write_rows

from prouter_jax.data.public.gmtrouter import read_gmtrouter

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


def test_a_bad_cell_is_named(tmp_path):
    rows = [dict(row) for row in GMTROUTER]
    rows[1]["conversation"] = [{"query": "Hi", "rating": "much"}]
    message = "^table a.jsonl, column conversation, column rating, row 1: expected a number in .*, found 'much'$"
    with pytest.raises(ValueError, match=message):
        read_gmtrouter(write_rows(tmp_path / "a.jsonl", rows))
