"""What is left when LLMs, queries or decisions are dropped, and what becomes of columns that one table lacks."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import concatenate, select_decisions, select_llms, select_queries, strings, take
from prouter_jax.data.validation import validate


def test_dropping_an_llm_drops_what_was_said_of_it(two_users):
    kept = validate(select_llms(two_users, np.array([False, True, False])))
    assert list(kept.llms.ids) == ["b"]
    assert len(kept.outcomes.llm) == 0
    assert list(kept.feedback.llm) == [0, 0]
    assert list(kept.decisions.ids) == ["d", "e"]


def test_dropping_a_decision_drops_its_feedback(two_users):
    kept = validate(select_decisions(two_users, np.array([False, True])))
    assert list(kept.decisions.ids) == ["e"]
    assert list(kept.feedback.decision) == [0, 0]
    assert list(kept.feedback.llm) == [1, 2]


def test_sets_of_candidates_that_become_equal_are_one(two_users):
    kept = validate(select_llms(two_users, np.array([False, True, True])))
    assert kept.offers.tolist() == [[True, True]]
    assert list(kept.decisions.offer) == [0, 0]


def test_sets_without_a_candidate_left_go_with_their_decisions(two_users):
    kept = validate(select_llms(two_users, np.array([True, False, False])))
    assert kept.offers.tolist() == [[True]]
    assert list(kept.decisions.ids) == ["d"]
    nothing = select_llms(two_users, np.zeros(3, bool))
    assert nothing.offers.shape == (0, 0)
    assert not len(nothing.decisions.ids)


def test_who_was_shown_first_is_followed_or_becomes_unknown(two_users):
    assert list(select_llms(two_users, np.array([False, True, True])).decisions.first) == [-1, 1]
    kept = validate(select_llms(two_users, np.array([True, True, False])))
    assert list(kept.decisions.first) == [-1, -1]
    assert kept.decisions.first.dtype == np.int32
    assert list(select_decisions(two_users, np.array([False, True])).decisions.first) == [2]


@pytest.fixture
def with_texts(two_users):
    outcomes = two_users.outcomes
    texts, style = strings(["One.", "", "Three."]), np.arange(6, dtype=np.float32).reshape(3, 2)
    return two_users.replace(outcomes=dataclasses.replace(outcomes, response=texts, style=style))


def test_texts_and_style_stay_with_their_outcomes(with_texts):
    for kept in (
        select_llms(with_texts, np.array([False, True, True])),
        select_llms(select_queries(with_texts, np.array([True, True, False])), np.array([False, False, True])),
    ):
        assert list(validate(kept).outcomes.response) == ["", "Three."]
        assert kept.outcomes.style.tolist() == [[2, 3], [4, 5]]
    kept = select_queries(with_texts, np.array([False, True, False]))
    assert list(kept.outcomes.response) == ["Three."]
    assert kept.outcomes.style.tolist() == [[4, 5]]


def test_answers_without_texts_join_those_with(two_users, with_texts):
    bare, told = two_users.outcomes, with_texts.outcomes
    assert concatenate([bare, bare]).response is None
    joined = concatenate([take(bare, np.arange(2)), told])
    assert list(joined.response) == ["", "", "One.", "", "Three."]
    assert joined.style.dtype == np.float32
    np.testing.assert_array_equal(joined.style[1:3], [[np.nan, np.nan], [0, 1]])


def test_vectors_that_one_table_lacks_are_none(two_users):
    given = dataclasses.replace(two_users.queries, vectors=np.zeros((3, 2)))
    assert concatenate([given, two_users.queries]).vectors is None
    assert concatenate([given, given]).vectors.shape == (6, 2)
