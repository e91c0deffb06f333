"""Questions: the queries with at least two answers."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import strings
from prouter_jax.llm.judges.base import build_questions


def test_queries_with_two_answers_are_kept(two_users):
    """Outcomes: (x, a), (x, c), (y, c)."""
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["one", "two", "three"]))
    questions = build_questions(two_users.replace(outcomes=outcomes))
    assert questions.ids.tolist() == ["x"]
    assert questions.query.tolist() == [0]
    assert questions.texts.tolist() == ["1+1"]
    assert questions.answers.tolist() == [["one", "", "two"]]
    assert questions.offered.tolist() == [[True, False, True]]
    np.testing.assert_array_equal(questions.effect, [[1, np.nan, 0]])
    np.testing.assert_array_equal(questions.cost, np.full((1, 3), np.nan))


def test_blank_answers_are_none(two_users):
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["one", " \n", "three"]))
    with pytest.raises(ValueError, match=r"^table outcomes, column response: expected a query with two answers"):
        build_questions(two_users.replace(outcomes=outcomes))


def test_without_texts_there_is_nothing_to_judge(two_users):
    with pytest.raises(ValueError, match=r"^table outcomes, column response: expected .* found no such column$"):
        build_questions(two_users)
