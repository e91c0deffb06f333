"""Votes of people in every form that Chatbot Arena publishes, and sets of chosen and rejected answers."""

import json

import pytest
from public_facts import decision_facts, outcome_facts
from public_files import MT_BENCH, arena_vote
from table_files import write_rows

from prouter_jax.data.public.pairs import read_arena, read_chosen_rejected

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
def test_a_bad_cell_of_arena_is_named(tmp_path, column, value, message):
    records = [dict(record) for record in MT_BENCH]
    records[2 if column == "winner" else 3][column] = value
    with pytest.raises(ValueError, match=f"^table human.jsonl, {message}"):
        read_arena(write_rows(tmp_path / "human.jsonl", records))


TIE = {("choice", "x"): 0.5, ("choice", "y"): 0.5}


def _part(text):
    return [{"type": "text", "text": text, "image": None, "mimeType": None}]


def _vote_140k(number, winner, order=1, turns=1):
    def talk(side):
        messages = []
        for turn in range(turns):
            messages += [
                {"role": "user", "content": _part(f"Question {number}, turn {turn}?")},
                {"role": "assistant", "content": _part(f"{side} on {number}, {turn}")},
            ]
        return messages

    return {
        "id": f"vote{number}",
        "model_a": "x",
        "model_b": "y",
        "winner": winner,
        "evaluation_session_id": f"session{number % 2}",
        "evaluation_order": order,
        "conversation_a": talk("a"),
        "conversation_b": talk("b"),
        "language": "en",
    }


@pytest.mark.parametrize("shards", [1, 2])
def test_the_140k_form_has_parts_sessions_and_both_bad(tmp_path, shards):
    votes = [
        _vote_140k(0, "model_a"),
        _vote_140k(1, "both_bad"),
        _vote_140k(2, "tie", 2),
        _vote_140k(3, "tie", turns=2),
    ]
    for shard in range(shards):
        write_rows(tmp_path / f"train-{shard:05}-of-{shards:05}.parquet", votes[shard::shards])
    read = read_arena(tmp_path)
    assert sorted(decision_facts(read.data), key=str) == [
        ("session0", "vote0", "Question 0, turn 0?", ("x", "y"), "x", None, {("choice", "x"): 1.0}),
        (
            "session1",
            "vote1",
            "Question 1, turn 0?",
            ("x", "y"),
            "x",
            None,
            {("choice", "x"): 0.5, ("choice", "y"): 0.5},
        ),
    ]
    assert outcome_facts(read.data)["vote0", "y"][-1] == "b on 0, 0"
    assert read.dropped == {"votes after the first turn": 2}
    assert len(read.files) == shards


def _vote_55k(number, winner, prompts=1, answer="yes"):
    row = {"id": number, "model_a": "x", "model_b": "y", "prompt": json.dumps([f"Question {number}?"] * prompts)}
    row |= {"response_a": json.dumps([answer] * prompts), "response_b": json.dumps(["no \ud83d"] * prompts)}
    return row | {f"winner_{side}": int(side == winner) for side in ("model_a", "model_b", "tie")}


def test_the_55k_form_has_lists_of_texts_and_three_columns_of_winners(tmp_path):
    votes = [_vote_55k(7, "model_b"), _vote_55k(8, "tie", answer=None), _vote_55k(9, "model_a", prompts=2)]
    read = read_arena(write_rows(tmp_path / "train.csv", votes))
    assert decision_facts(read.data) == [
        ("everybody", "7", "Question 7?", ("x", "y"), "x", None, {("choice", "y"): 1.0}),
        ("everybody", "8", "Question 8?", ("x", "y"), "x", None, {("choice", "x"): 0.5, ("choice", "y"): 0.5}),
    ]
    assert {key: facts[-1] for key, facts in outcome_facts(read.data).items()} == {
        ("7", "x"): "yes",
        ("7", "y"): "no ?",
        ("8", "x"): "",
        ("8", "y"): "no ?",
    }
    votes[0]["winner_tie"] = 1
    with pytest.raises(ValueError, match="column winner_model_a, row 0: expected one of the three winners to be 1"):
        read_arena(write_rows(tmp_path / "train.csv", votes))


def test_the_100k_form_has_conversations_as_text_and_hashed_judges(tmp_path):
    vote = arena_vote(5, "x", "y", "tie (bothbad)", None, judge_hash="abc")
    del vote["judge"]
    vote |= {side: json.dumps(vote[side]) for side in ("conversation_a", "conversation_b")}
    (facts,) = decision_facts(read_arena(write_rows(tmp_path / "a.parquet", [vote])).data)
    assert facts[0] == "abc"


def _messages(prompt, answer):
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def test_chosen_answers_are_choices_without_sides(tmp_path):
    rows = [
        {"prompt": "One?", "chosen": "good", "rejected": "bad", "chosen_model": "x", "rejected_model": "y"},
        {"prompt": "Two?", "chosen": "good", "rejected": "bad", "chosen_model": "y", "rejected_model": "x"},
        {"prompt": "", "chosen": "good", "rejected": "bad", "chosen_model": "y", "rejected_model": "x"},
        {"prompt": "Three?", "chosen": "good", "rejected": "bad", "chosen_model": "y", "rejected_model": "y"},
    ]
    read = read_chosen_rejected(write_rows(tmp_path / "train.csv", rows))
    assert decision_facts(read.data) == [
        ("everybody", "q0", "One?", ("x", "y"), None, None, {("choice", "x"): 1.0}),
        ("everybody", "q1", "Two?", ("x", "y"), None, None, {("choice", "y"): 1.0}),
    ]
    assert read.dropped == {"pairs without a prompt": 1, "pairs of answers of one LLM": 1}


def test_chosen_messages_have_the_prompt_and_people(tmp_path):
    rows = [
        {
            "chosen": _messages("One?", "good"),
            "rejected": _messages("One?", "bad"),
            "chosen-model": "x",
            "rejected-model": "y",
            "annotator": user,
        }
        for user in ("ann", "bob")
    ]
    read = read_chosen_rejected(write_rows(tmp_path / "train.jsonl", rows))
    assert [facts[:3] for facts in decision_facts(read.data)] == [("ann", "q0", "One?"), ("bob", "q0", "One?")]
    assert outcome_facts(read.data)["q0", "y"][-1] == "bad"
    rows[1]["annotator"] = None
    with pytest.raises(ValueError, match="column annotator, row 1: expected an id"):
        read_chosen_rejected(write_rows(tmp_path / "train.jsonl", rows))


def test_without_names_of_llms_a_preference_says_nothing(tmp_path):
    rows = [{"prompt": "One?", "chosen": "good", "rejected": "bad"}]
    with pytest.raises(ValueError, match="column chosen_model, row 0: expected the names of both LLMs"):
        read_chosen_rejected(write_rows(tmp_path / "train.jsonl", rows))


@pytest.mark.parametrize("without", [0, 1])
def test_all_votes_have_a_user_or_none_has(tmp_path, without):
    votes = [arena_vote(number, "a", "b", "model_a", f"j{number}") for number in range(3)]
    del votes[without]["judge"]
    row = without or 1
    with pytest.raises(ValueError, match=rf"votes.jsonl, column judge, row {row}: expected (a user in all|an id)"):
        read_arena(write_rows(tmp_path / "votes.jsonl", votes))
