"""Metrics, references and choices are checked before anybody is asked."""

import dataclasses
import json

import pytest
from collect_cases import make_queries

from prouter_jax.data.interactions import strings
from prouter_jax.llm.answers import read_queries
from prouter_jax.llm.gradable import check_metric, check_queries


@pytest.mark.parametrize(
    ("metric", "reference", "choices"),
    [
        ("f1_score", "Paris", ""),
        ("em", "Paris", ""),
        ("cem", '["Paris", "paris"]', ""),
        ("em_mc", "B", '["one", "two"]'),
        ("GSM8K", "#### 4", ""),
        ("MATH", r"so \boxed{4}", ""),
        ("rouge_l", "Paris", ""),
        ("judge", "", ""),
    ],
)
def test_metrics_of_published_sets_are_known(metric, reference, choices):
    assert check_metric(metric, reference, choices) == ""


@pytest.mark.parametrize(
    ("metric", "reference", "choices", "message"),
    [
        ("f1_scor", "Paris", "", r"found 'f1_scor' \(did you mean f1_score\?\)"),
        ("em_mc", "E", '["one", "two"]', "a letter from A to B"),
        ("multiple_choice", "three", '["one", "two"]', "a letter from A to B"),
        ("GSM8K", "four", "", "expected a number in the reference"),
        ("os:system", "4", "", "named by --metric alone"),
        ("f1_scor", "", "", "found 'f1_scor'"),
    ],
)
def test_what_cannot_be_graded_is_an_error(metric, reference, choices, message):
    with pytest.raises(ValueError, match=message):
        check_metric(metric, reference, choices)


def test_what_is_known_and_not_graded_here_is_a_reason():
    assert check_metric("code_eval", "assert f(1)", "") == "metric code_eval runs the answer's code"
    assert check_metric("", "4", "") == "the query has no metric"
    assert check_metric("em", "", "") == "the query has no reference"


def test_the_error_names_file_and_query(tmp_path):
    queries = dataclasses.replace(make_queries(2), metrics=strings(["em", "exact"]), references=strings(["4", "4"]))
    with pytest.raises(ValueError, match=r"^table mine.csv, query q1 \('What is 1'\), column metric: exact: expected"):
        check_queries(queries, tmp_path / "mine.csv")
    queries.metrics[1] = "bert_score"
    assert check_queries(queries, tmp_path / "mine.csv") == {"metric bert_score needs a BERT model": 1}


def test_queries_read_choices_in_any_form_and_labels_as_letters(tmp_path):
    rows = [
        {"query": "a", "metric": "em_mc", "reference": "2", "choices": {"text": ["x", "y"], "label": ["1", "2"]}},
        {"query": "b", "metric": "em_mc", "reference": "B", "choices": "{'text': ['x', 'y'], 'labels': ['A', 'B']}"},
        {"query": "c", "metric": "em_mc", "reference": "y", "choices": ["x", "y"]},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_queries(tmp_path / "q.jsonl")
    assert found.choices.tolist() == ['["x", "y"]'] * 3
    assert found.references.tolist() == ["B", "B", "y"]
    assert check_queries(found, "q.jsonl") == {}


def test_choices_that_are_none_are_an_error_with_their_row(tmp_path):
    (tmp_path / "q.csv").write_text("query,choices\na,\nb,one or two\n")
    with pytest.raises(ValueError, match=r"^table q.csv, column choices, row \d: expected a list of 1 to 10 options"):
        read_queries(tmp_path / "q.csv")
