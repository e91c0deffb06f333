"""What is left when LLMs or decisions are dropped."""

import numpy as np

from prouter_jax.interactions import select_decisions, select_llms
from prouter_jax.validation import validate


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
