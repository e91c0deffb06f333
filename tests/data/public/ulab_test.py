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


CANDIDATES = [
    {
        "model_name": name,
        "size": "7B",
        "description": f"About {name}.",
        "input_price_per_1m": price,
        "output_price_per_1m": 2 * price,
        "api_model_id": f"org/{name}-chat",
        "service": "somebody",
    }
    for name, price in (("x", 1.0), ("y", 0.25), ("z", 3.0))
]


@pytest.mark.parametrize("name", ["train.parquet", "train.csv", "train.jsonl"])
def test_the_candidates_of_xroutebench_have_prices(tmp_path, name):
    path = write_rows(tmp_path / "a.jsonl", ANSWERS)
    (tmp_path / "llm_candidates").mkdir()
    candidates = write_rows(tmp_path / "llm_candidates" / name, CANDIDATES)
    for source in (candidates, candidates.parent):
        read = read_public("llmrouter", path, source)
        llms = read.data.llms
        assert list(llms.ids) == ["x", "y"]
        assert list(llms.descriptions) == ["About x.", "About y."]
        assert llms.input_price.tolist() == [1.0, 0.25]
        assert llms.output_price.tolist() == [2.0, 0.5]
        assert read.files == (path, candidates)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_name": None}, "row 1: expected the name of an LLM, found nothing"),
        ({"model_name": "x"}, "row 1: expected each LLM once, found 'x'"),
        ({"input_price_per_1m": -1.0}, "column input_price_per_1m, row 1: expected a finite number >= 0, found -1"),
    ],
)
def test_a_wrong_candidate_is_one_line(tmp_path, change, message):
    path = write_rows(tmp_path / "a.jsonl", ANSWERS)
    candidates = write_rows(tmp_path / "c.parquet", [CANDIDATES[0], CANDIDATES[1] | change])
    with pytest.raises(ValueError, match=f"c.parquet.*{message}") as error:
        read_public("llmrouter", path, candidates)
    assert "\n" not in str(error.value)


def _pair(number, persona, judge, names=("org/x-chat", "org/y-chat"), **others):
    return {
        "task_name": "chat",
        "query": json.dumps([{"role": "user", "content": f"Tell me {number}"}]),
        "metric": "pairwise",
        "task_id": f"t{number}",
        "embedding_id": number,
        "persona_id": persona,
        "persona": "Likes short answers.",
        "model_1": names[0],
        "model_2": names[1],
        "answer_1": "short",
        "answer_2": "long",
        "judge": judge,
    } | others


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl"])
def test_judged_pairs_of_xroutebench_are_choices_of_personas(tmp_path, name):
    rows = [_pair(1, 7, 1), _pair(1, 8, 2), _pair(2, 7, 2, ("b", "b")), _pair(3, 7, 2, query="")]
    candidates = write_rows(tmp_path / "llms.parquet", CANDIDATES)
    read = read_public("llmrouter", write_rows(tmp_path / name, rows), candidates)
    offer = ("org/x-chat", "org/y-chat")
    assert decision_facts(read.data) == [
        ("7", "q0", "Tell me 1", offer, None, None, {("choice", "org/x-chat"): 1.0}),
        ("8", "q0", "Tell me 1", offer, None, None, {("choice", "org/y-chat"): 1.0}),
    ]
    assert read.dropped == {"pairs of one LLM": 1, "records without a query that has a text": 1}
    assert read.data.llms.input_price.tolist() == [1.0, 0.25]
    with pytest.raises(ValueError, match="column judge, row 0: expected 1 or 2, found 3"):
        read_public("llmrouter", write_rows(tmp_path / name, [_pair(1, 7, 3)]))
