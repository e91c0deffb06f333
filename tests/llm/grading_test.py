"""Grading of a folder: each outcome by its query's metric; ungraded outcomes are unchanged and counted."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collect_cases import make_llm
from judge_server import Act, JudgeServer

from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.io.locks import lock_folder
from prouter_jax.llm.grading import CollectedOutcomes, LlmGrader

QUERIES = {
    "query_id": ["f", "n", "c", "own", "none", "open"],
    "query": list("abcdef"),
    "reference": ['["rock n roll", "pop"]', "#### 7", "yes", "abcd", "x", None],
    "metric": [
        "token_f1",
        "number_at_end",
        "multiple_choice",
        "token_f1",
        None,
        "exact_match",
    ],
    "choices": [None, None, '["no", "yes"]', None, None, None],
}
OUTCOMES = {
    "query_id": ["f", "n", "c", "own", "none", "open", "f"],
    "llm": ["a"] * 6 + ["b"],
    "effect": pa.array([None, 0.25, None, None, 0.5, None, None], pa.float64()),
    "response": ["rock", "It is 8", "(B)", "ab", "x", "x", None],
    "finish_reason": ["stop"] * 7,
}


@pytest.fixture
def folder(tmp_path):
    pq.write_table(pa.table(QUERIES), tmp_path / "queries.parquet")
    pq.write_table(pa.table(OUTCOMES), tmp_path / "outcomes.parquet")
    pq.write_table(pa.table({"llm": ["a", "b"]}), tmp_path / "llms.parquet")
    return tmp_path


def _effects(folder):
    return pq.read_table(folder / "outcomes.parquet")["effect"].to_pylist()


def test_each_outcome_is_graded_by_its_querys_metric(folder):
    graded = CollectedOutcomes(folder).grade(None)
    assert _effects(folder) == [0.5, 0.0, 1.0, 0.0, 0.5, None, None]
    assert graded.grades == {"token_f1": [0.5, 0.0], "number_at_end": [0.0], "multiple_choice": [1.0]}
    left = ("the query has no metric", "the query has no reference", "the answer has no text")
    assert graded.ungraded == dict.fromkeys(left, 1)
    table = pq.read_table(folder / "outcomes.parquet")
    assert table.drop_columns("effect").equals(pa.table(OUTCOMES).drop_columns("effect"))
    assert read_tables(folder).outcomes.effect[:5].tolist() == [0.5, 0.0, 1.0, 0.0, 0.5]


def test_a_metric_for_all_rows_overrides_those_of_the_queries(folder):
    graded = CollectedOutcomes(folder, "exact_match").grade(None)
    assert _effects(folder) == [0.0, 0.0, 0.0, 0.0, 1.0, None, None]
    assert graded.ungraded == {"the query has no reference": 1, "the answer has no text": 1}


def test_a_judge_needs_no_reference_and_its_failures_are_counted(folder, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def decide(messages, number):
        return Act(status=400, body=b"{}") if "<answer>\nIt is 8\n" in messages[1]["content"] else Act('{"grade": 7}')

    with pytest.raises(ValueError, match=r"^metric judge: expected an LLM that grades 6 answers, found none$"):
        CollectedOutcomes(folder, "judge").grade(None)
    with JudgeServer(decide) as server:
        grader = LlmGrader(make_llm(server), folder / "grades.jsonl", 0.0, 4)
        outcomes = CollectedOutcomes(folder, "judge")
        assert outcomes.estimate_cost(grader).total == 6
        graded = outcomes.grade(grader)
    assert _effects(folder) == [0.7, 0.25, 0.7, 0.7, 0.7, 0.7, None]
    assert graded.grades == {"judge": [0.7] * 5}
    assert sorted(graded.ungraded.values()) == [1, 1]
    assert any(reason.startswith("judge: HTTP 400") for reason in graded.ungraded)


BAD = {
    "reference": (
        {"reference": ["many"] * 6, "metric": ["number_at_end"] * 6},
        r"^table outcomes\.parquet, row 0 \(query_id 'f', llm 'a'\): metric number_at_end: expected a number in",
    ),
    "metric": (
        {"metric": ["token_f1", "f2", *QUERIES["metric"][2:]]},
        r"^table queries\.parquet, column metric, row 1: expected a metric",
    ),
    "query": (
        {"query_id": ["x", *QUERIES["query_id"][1:]]},
        r"^table outcomes\.parquet, column query_id, row 0: expected a query_id of queries\.parquet, found 'f'$",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_name_the_row_and_nothing_is_written(folder, name):
    changes, message = BAD[name]
    pq.write_table(pa.table(QUERIES | changes), folder / "queries.parquet")
    before = (folder / "outcomes.parquet").read_bytes()
    with pytest.raises(ValueError, match=message):
        CollectedOutcomes(folder).grade(None)
    assert (folder / "outcomes.parquet").read_bytes() == before


def test_outcomes_that_change_meanwhile_are_not_graded(folder):
    outcomes = CollectedOutcomes(folder, "token_f1")
    with lock_folder(folder), pytest.raises(ValueError, match="expected no other command that writes here"):
        outcomes.grade(None)
    table = pq.read_table(folder / "outcomes.parquet")
    pq.write_table(table.slice(1), folder / "outcomes.parquet")
    before = (folder / "outcomes.parquet").read_bytes()
    with pytest.raises(ValueError, match=r"outcomes\.parquet: expected it as it was read, found it changed"):
        outcomes.grade(None)
    assert (folder / "outcomes.parquet").read_bytes() == before


def test_a_folder_without_collected_tables_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"expected queries\.parquet, as `prouter collect` writes it, found none$"):
        CollectedOutcomes(tmp_path)


def test_a_table_that_names_code_is_refused_before_anything_is_imported(folder):
    metrics = ["token_f1", "antigravity:f", *[None] * 4]
    pq.write_table(pa.table(QUERIES | {"metric": metrics}), folder / "queries.parquet")
    with pytest.raises(
        ValueError, match=r"^table queries.parquet, column metric, row 1: expected a metric .*antigravity"
    ):
        CollectedOutcomes(folder)
    assert "antigravity" not in sys.modules
    own = "operator:eq"
    assert list(CollectedOutcomes(folder, own).rows) == [own]  # as --metric has it
