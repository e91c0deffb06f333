"""Journals of answers and failures: their fields and costs."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.tables.schema import parse_texts
from prouter_jax.llm.answers import ANSWERS, FAILURES, open_answers, read_queries

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


def _jsonl(tmp_path, *rows):
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_only_the_text_is_required_and_the_id_is_its_hash(tmp_path):
    one = read_queries(_jsonl(tmp_path, {"query": "a"}, {"query": "b"}))
    other = read_queries(_jsonl(tmp_path, {"query": "b"}, {"query": "c"}, {"query": "b", "reference": "x"}))
    assert one.texts.tolist() == ["a", "b"]
    assert one.ids[1] == other.ids[0]
    assert len({*one.ids, *other.ids}) == 4
    assert one.references.tolist() == ["", ""]


def test_duplicate_queries_are_dropped(tmp_path):
    found = read_queries(_jsonl(tmp_path, {"query": "a"}, {"query": "b"}, {"query": "a"}))
    assert (found.texts.tolist(), found.duplicates) == (["a", "b"], 1)


def test_two_queries_with_one_id_are_an_error(tmp_path):
    path = _jsonl(tmp_path, {"query_id": "x", "query": "a"}, {"query_id": "x", "query": "b"})
    with pytest.raises(ValueError, match=r"^table q\.jsonl, column query_id, row 1: expected unique ids \(row 0 has"):
        read_queries(path)


def test_references_are_a_text_a_number_or_a_list_of_texts(tmp_path):
    cells = ["a|b", 42, 1.5, ["x", "é|"], '["p", "q"]', None, "[1]"]
    rows = [{"query": str(row), "reference": cell} for row, cell in enumerate(cells)]
    found = read_queries(_jsonl(tmp_path, *rows)).references
    expected = [["a|b"], ["42"], ["1.5"], ["x", "é|"], ["p", "q"], [""], ["[1]"]]
    assert [parse_texts(cell) for cell in found] == expected


@pytest.mark.parametrize("cell", [[], [1], True, {"a": 1}, [["x"]]])
def test_other_references_are_refused(tmp_path, cell):
    with pytest.raises(ValueError, match=r"column reference, row 0: expected a text or a list of texts, found "):
        read_queries(_jsonl(tmp_path, {"query": "a", "reference": cell}))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([["x", "y"], None], [["x", "y"], [""]]), ([7, 8], [["7"], ["8"]]), (["s", "t"], [["s"], ["t"]])],
)
def test_references_in_parquet_may_be_lists_and_numbers(tmp_path, cells, expected):
    pq.write_table(pa.table({"query": ["a", "b"], "reference": cells}), tmp_path / "q.parquet")
    found = read_queries(tmp_path / "q.parquet")
    assert [parse_texts(cell) for cell in found.references] == expected


def test_csv_has_all_columns_as_text(tmp_path):
    (tmp_path / "q.csv").write_text(
        'query_id,query,task_id,reference,metric,choices\n1,Why?,t,B,multiple_choice,"[""x"", ""y""]"\n'
    )
    found = read_queries(tmp_path / "q.csv")
    row = [getattr(found, name)[0] for name in ("ids", "texts", "tasks", "references", "metrics")]
    assert row == ["1", "Why?", "t", "B", "multiple_choice"]
    assert parse_texts(found.choices[0]) == ["x", "y"]
    assert found.ids.dtype == np.dtype(object)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("q.txt", r"q\.txt: expected a file of \.parquet, \.csv, \.jsonl, .* found '\.txt'$"),
        ("none.csv", "expected a file"),
    ],
)
def test_errors_name_file_column_and_row(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        read_queries(tmp_path / name)
