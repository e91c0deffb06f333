"""LLMRouter, xRouteBench and RouteProfile: scores and tokens become outcomes, failed requests do not."""

import json

import pytest
from public_facts import decision_facts, outcome_facts
from public_files import write_json
from table_files import write_rows

from prouter_jax.data.public.registry import read_public


def _answer(number, llm, performance, **others):
    return {
        "task_name": "gsm8k",
        "query": f"What is {number}?",
        "ground_truth": str(number),
        "metric": "GSM8K",
        "choices": None,
        "model_name": llm,
        "response": f"{llm}: {number}",
        "input_tokens": 100,
        "output_tokens": 10,
        "performance": performance,
        "embedding_id": number,
        "user_id": None,
    } | others


ANSWERS = [
    _answer(1, "x", 1.0),
    _answer(1, "y", 0.5),
    _answer(2, "x", 0.0, response="ERROR: timeout", output_tokens=0),
    _answer(2, "y", None),
    _answer(2, "x", 0.0, response="ERROR is what I see"),
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.ndjson"])
def test_answers_are_outcomes_and_failed_requests_are_dropped(tmp_path, name):
    path = write_rows(tmp_path / name, ANSWERS)
    read = read_public("llmrouter", path)
    assert outcome_facts(read.data) == {
        ("q0", "x"): ("What is 1?", "gsm8k", 1.0, None, 100.0, 10.0, "x: 1"),
        ("q0", "y"): ("What is 1?", "gsm8k", 0.5, None, 100.0, 10.0, "y: 1"),
        ("q1", "x"): ("What is 2?", "gsm8k", 0.0, None, 100.0, 10.0, "ERROR is what I see"),
    }
    assert read.dropped == {"failed requests": 1, "records without a performance": 1}


def test_the_file_of_llms_has_prices(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", ANSWERS)
    prices = {"x": {"feature": "X.", "input_price": 1.0, "output_price": 2.0}, "z": {"input_price": 3.0}}
    read = read_public("llmrouter", path, write_json(tmp_path / "llms.json", prices))
    assert list(read.data.llms.ids) == ["x", "y"]
    assert list(read.data.llms.descriptions) == ["X.", ""]
    assert read.data.llms.input_price[0] == 1.0
    assert read.data.llms.input_price[1] != read.data.llms.input_price[1]
    with pytest.raises(ValueError, match="expected some of the LLMs x, y"):
        read_public("llmrouter", path, write_json(tmp_path / "other.json", {"z": {}}))


def test_answers_with_users_are_ratings(tmp_path):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    rows = [
        _answer(1, llm, score, user_id=user, query=chat)
        for user, llm, score in (("u", "x", 0.25), ("u", "y", 0.5), ("v", "x", 1.0))
    ]
    read = read_public("llmrouter", write_rows(tmp_path / "a.jsonl", rows))
    assert decision_facts(read.data) == [
        ("u", "q0", "Hello", ("x", "y"), None, None, {("rating", "x"): 0.25, ("rating", "y"): 0.5}),
        ("v", "q0", "Hello", ("x",), None, None, {("rating", "x"): 1.0}),
    ]
    assert outcome_facts(read.data)["q0", "x"][2] is None
    text = [row | {"query": json.dumps(chat)} for row in rows]
    assert decision_facts(read_public("llmrouter", write_rows(tmp_path / "a.parquet", text)).data) == decision_facts(
        read.data
    )


def _profile(number, **llms):
    return {"task_name": "mmlu", "query": f"What is {number}?", "metric": "em_mc", "model_performance": llms}


def test_routeprofiles_answers_are_outcomes(tmp_path):
    good = {"response": "A", "prompt_tokens": 5, "completion_tokens": 1, "task_performance": 1.0, "success": True}
    failed = {"response": "", "task_performance": 0.0, "success": False}
    rows = [_profile(1, x=good, y=failed), _profile(2, x=good | {"task_performance": None})]
    read = read_public("routeprofile", write_json(tmp_path / "routing_test_data.json", rows))
    assert outcome_facts(read.data) == {("q0", "x"): ("What is 1?", "mmlu", 1.0, None, 5.0, 1.0, "A")}
    assert read.dropped == {"failed requests": 1, "answers without a performance": 1}


def test_routeprofiles_pairs_are_votes_without_sides(tmp_path):
    pair = {
        "task_name": "mmlu",
        "query": "What?",
        "choices": "{'text': ['1']}",
        "better_model": "x",
        "worse_model": "y",
    }
    data = {"task_data_count": {"mmlu": 2}, "pairwise_data": [pair, pair | {"worse_model": "x"}]}
    read = read_public("routeprofile", write_json(tmp_path / "pairwise.json", data))
    assert decision_facts(read.data) == [("everybody", "q0", "What?", ("x", "y"), None, None, {("choice", "x"): 1.0})]
    assert read.dropped == {"pairs of one LLM": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "expected an object, found '3'"),
        ("[]", "expected at least one row"),
        ('{"pairwise_data": 3}', "expected an array, found '3'"),
        ('[{"query": "a", "task_name": "b", "model_performance": 3}]', "column model_performance, row 0: expected an"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=f"^table a.json.*{message}"):
        read_public("routeprofile", tmp_path / "a.json")
