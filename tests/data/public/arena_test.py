"""Votes of Chatbot Arena and MT-Bench: pairs, ties, sides."""

import pytest
from public_facts import decision_facts, outcome_facts
from public_files import MT_BENCH, arena_vote
from table_files import write_rows

from prouter_jax.data.public.arena import read_arena

ONE, TWO = "What is 81 + 1?", "What is 82 + 1?"
SMALL, CHAT, BIG = "alpaca-13b", "gpt-3.5-turbo", "gpt-4"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_vote_is_a_decision_between_two(tmp_path, suffix):
    read = read_arena(write_rows(tmp_path / f"human.{suffix}", MT_BENCH))
    assert decision_facts(read.data) == [
        ("author_2", "81", ONE, (SMALL, CHAT), SMALL, None, {("choice", CHAT): 1.0}),
        ("expert_0", "81", ONE, (SMALL, CHAT), CHAT, None, {("choice", SMALL): 0.5, ("choice", CHAT): 0.5}),
        ("expert_0", "82", TWO, (SMALL, BIG), BIG, None, {("choice", BIG): 1.0}),
        ("author_2", "82", TWO, (SMALL, BIG), BIG, None, {("choice", BIG): 0.5, ("choice", SMALL): 0.5}),
    ]
    assert read.dropped == {"votes after the first turn": 1, "votes on an LLM against itself": 1}
    found = outcome_facts(read.data)
    assert found["82", "gpt-4"] == (TWO, None, None, None, None, None, "gpt-4: 82")
    assert set(found) == {("81", SMALL), ("81", CHAT), ("82", SMALL), ("82", BIG)}


def test_chatbot_arena_has_times_and_ids_of_letters(tmp_path):
    vote = arena_vote(
        0, "a", "b", "model_b", "arena_user_973", question_id="58210e39", tstamp=1682351591.1322, anony=True
    )
    read = read_arena(write_rows(tmp_path / "train.parquet", [vote]))
    facts = ("arena_user_973", "58210e39", "What is 0 + 1?", ("a", "b"), "a", 1682351591.1322, {("choice", "b"): 1.0})
    assert decision_facts(read.data) == [facts]


def test_conversations_must_begin_alike(tmp_path):
    other = arena_vote(83, "gpt-4", "alpaca-13b", "model_a", "expert_0")
    other["conversation_b"][0]["content"] = "Something else"
    silent = arena_vote(84, "gpt-4", "alpaca-13b", "model_a", "expert_0", conversation_a=[], conversation_b=[])
    changed = arena_vote(82, "gpt-4", "alpaca-13b", "model_a", "expert_0", text="Another question")
    read = read_arena(write_rows(tmp_path / "human.jsonl", [*MT_BENCH, other, silent, changed]))
    assert read.dropped["votes on conversations that begin with different messages, or none"] == 2
    assert read.dropped["votes on another text than the question's first"] == 1
    assert len(read.data.decisions.user) == 4


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("winner", "model_c", "column winner, row 2: expected one of model_a, .* found 'model_c'"),
        ("judge", None, "column judge, row 3: expected an id, found nothing"),
        ("conversation_a", "Hi", "column conversation_a, row 3: expected a list of objects, found 'Hi'"),
        ("conversation_b", [{"role": 1}], "column conversation_b, column role, row 3: expected a text, found 1"),
        ("turn", "first", "column turn, row 3: expected a finite number, found 'first'"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, value, message):
    records = [dict(record) for record in MT_BENCH]
    records[2 if column == "winner" else 3][column] = value
    with pytest.raises(ValueError, match=f"^table human.jsonl, {message}"):
        read_arena(write_rows(tmp_path / "human.jsonl", records))
