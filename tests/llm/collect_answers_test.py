"""What LLMs write reaches the tables: parts, thoughts, uncounted tokens, errors under HTTP 200, and kept grades."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collect_cases import echo, lines, make_llm, make_queries
from judge_server import Act, JudgeServer

from prouter_jax.data.interactions import strings
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.llm.collect import collect
from prouter_jax.llm.grading import CollectedOutcomes


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _completion(message: dict, **others) -> Act:
    body = {"choices": [{"message": message, "finish_reason": "stop"}]} | others
    return Act(body=json.dumps(body).encode())


def _collect(folder, queries, server, **options):
    return collect(queries, [make_llm(server)], folder, 0.0, 4, **options)


THINKING = [{"type": "thinking", "thinking": "maybe #### 5"}, {"type": "text", "text": "It is 4"}]


@pytest.mark.parametrize("keep_raw", [False, True])
def test_parts_and_thoughts_become_the_answer_and_the_raw_text_is_kept_on_request(tmp_path, keep_raw):
    with JudgeServer(lambda *_: _completion({"content": THINKING})) as server:
        found = _collect(tmp_path, make_queries(2), server, keep_raw=keep_raw)
    assert (found.answers, found.thoughts) == (2, 2)
    table = pq.read_table(tmp_path / "outcomes.parquet")
    assert table["response"].to_pylist() == ["It is 4"] * 2
    assert ("raw_response" in table.column_names) == keep_raw
    raw = table["raw_response"][0].as_py() if keep_raw else lines(tmp_path / "answers.jsonl")[0]["text"]
    assert raw == "<think>\nmaybe #### 5\n</think>\n\nIt is 4"
    assert read_tables(tmp_path).outcomes.response.tolist() == ["It is 4"] * 2


def test_tokens_that_the_server_does_not_count_are_guessed_with_the_thoughts(tmp_path):
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    message = {"content": "It is 4", "reasoning_content": "x" * 400}
    with JudgeServer(lambda *_: _completion(message, usage=usage)) as server:
        found = _collect(tmp_path, make_queries(1), server)
    (row,) = pq.read_table(tmp_path / "outcomes.parquet").to_pylist()
    assert found.estimated_tokens == 1
    assert row["input_tokens"] == 3
    assert row["output_tokens"] > 100
    assert row["cost"] == pytest.approx((3 * 10 + row["output_tokens"] * 100) / 1e6)


def test_an_error_under_http_200_is_the_failure(tmp_path):
    refused = Act(body=b'{"error": {"message": "content policy", "code": 403}}')
    with JudgeServer(lambda messages, n: refused if messages[-1]["content"] == "What is 1" else Act()) as server:
        found = _collect(tmp_path, make_queries(2), server)
        assert len(server.requests) == 2  # a refusal is not asked again
    assert list(found.failures) == ["a: 403: content policy"]
    busy = Act(body=b'{"error": {"message": "rate limited", "code": 429}}')
    with JudgeServer(lambda *_: busy) as server:
        found = _collect(tmp_path / "busy", make_queries(1), server)
        assert len(server.requests) == 3
    assert list(found.failures) == ["a: after 3 attempts: 429: rate limited"]
    assert found.spent == 0


def _graded(folder) -> dict:
    return {row["query_id"]: row["effect"] for row in pq.read_table(folder / "outcomes.parquet").to_pylist()}


def test_collecting_again_keeps_the_grades_of_queries_that_did_not_change(tmp_path):
    queries = make_queries(3)
    queries = dataclasses.replace(
        queries, references=strings(["You asked: What is 0", "b", "c"]), metrics=strings(["exact_match"] * 3)
    )
    with JudgeServer(echo) as server:
        _collect(tmp_path, queries, server)
        CollectedOutcomes(tmp_path).grade(None)
        assert _graded(tmp_path) == {"q0": 1, "q1": 0, "q2": 0}
        changed = dataclasses.replace(queries, references=strings([*queries.references[:2], "You asked: What is 2"]))
        _collect(tmp_path, changed, server)
    assert _graded(tmp_path) == {"q0": 1, "q1": 0, "q2": None}


@pytest.mark.parametrize(
    ("answers", "effects"),
    [(["<think>5</think>4", "4 is it"], {"q0": 1, "q1": 1}), (["<think>4", None], {"q0": None, "q1": None})],
)
def test_thoughts_in_a_table_are_not_graded(tmp_path, answers, effects):
    metric = {"metric": ["GSM8K"] * 2, "reference": ["4"] * 2}
    pq.write_table(pa.table({"query_id": ["q0", "q1"], "query": ["a", "b"]} | metric), tmp_path / "queries.parquet")
    outcomes = {"query_id": ["q0", "q1"], "llm": ["a"] * 2, "response": answers}
    pq.write_table(pa.table(outcomes), tmp_path / "outcomes.parquet")
    collected = CollectedOutcomes(tmp_path)
    assert collected.thoughts == 1
    collected.grade(None)
    assert _graded(tmp_path) == effects
