"""Metrics by name, and the user's own functions."""

import math
import sys

import pytest

from prouter_jax.llm.grading_metrics import find_metric


def length_share(answer, reference):
    """A metric of a user."""
    return min(len(answer) / len(reference), 1)


def odd(answer, reference):
    return len(reference) / 4 if answer == "list" else {"two": 2, "nan": math.nan, "none": None}[answer]


@pytest.mark.parametrize(
    ("name", "answer", "references", "expected"),
    [
        ("token_f1", "rock", ["pop", "rock n roll", "rock n"], 2 / 3),
        ("exact_match", "The Rock", ["pop", "rock"], 1.0),
        ("exact_match", "jazz", ["pop", "rock"], 0.0),
        ("number_at_end", "It is 7", ["5", "7"], 1.0),
        ("multiple_choice", "(B)", ["yes"], 1.0),
    ],
)
def test_the_best_of_several_references_counts(name, answer, references, expected):
    assert find_metric(name)(answer, references, ["no", "yes"]) == pytest.approx(expected)


def test_a_function_of_ones_own():
    assert find_metric(f"{__name__}:length_share", allow_code=True)("ab", ["abcd"], []) == 0.5
    assert find_metric(f"{__name__}:odd", allow_code=True)("list", ["a", "b"], []) == 0.5  # several come as a list


@pytest.mark.parametrize(
    ("answer", "found"), [("two", "2"), ("nan", "nan"), ("none", "TypeError"), ("other", "KeyError")]
)
def test_a_return_value_that_is_no_grade_is_an_error(answer, found):
    with pytest.raises(ValueError, match=rf"^expected a number in \[0, 1\], found {found}"):
        find_metric(f"{__name__}:odd", allow_code=True)(answer, ["x"], [])


@pytest.mark.parametrize("name", ["nowhere:f", f"{__name__}:nothing", "json:"])
def test_a_function_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"^metric {name}: expected a Python function to import, found "):
        find_metric(name, allow_code=True)


def test_the_error_of_an_unknown_metric_lists_the_metrics():
    with pytest.raises(ValueError, match=r"^expected a metric \(token_f1, .*, judge or MODULE:FUNCTION\), found 'f1'$"):
        find_metric("f1")


def test_a_name_from_data_never_imports_code(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^expected a metric \(token_f1, .*\), found 'planted:f'; .*--metric alone$"):
        find_metric("planted:f")
    assert "planted" not in sys.modules
