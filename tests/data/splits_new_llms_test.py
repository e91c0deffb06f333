"""Data as it was before some LLMs came: nothing of them is left, and nothing else has changed."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.config import Embedded
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import CHOICE, RATING, Feedback, strings
from prouter_jax.data.splits import find_llms, hide_outcomes, replace_decisions, rows_by_pair, without_llms
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.validation import validate

A, B, C = np.eye(3, dtype=bool)


def test_llms_are_found_by_their_names():
    ids = strings(["a", "b c", "d"])
    assert find_llms(ids, "d, b c").tolist() == [False, True, True]
    assert not find_llms(ids, "").any()
    with pytest.raises(ValueError, match=r"^config\.data\.new_llms: expected names of LLMs in the data, found 'c'$"):
        find_llms(ids, "a,c")
    with pytest.raises(ValueError, match=r"^config\.data\.new_llms: .* leave some LLM known, found all 3 named$"):
        find_llms(ids, "a,b c,d")


def test_outcomes_are_hidden_but_where_shown(two_users):
    """c answered x and y, a answered x."""
    hidden = hide_outcomes(two_users, C).outcomes
    assert hidden.llm.tolist() == [0]
    assert hidden.query.tolist() == [0]
    shown = hide_outcomes(two_users, C, np.array([False, True, True])).outcomes
    assert list(zip(shown.query.tolist(), shown.llm.tolist(), strict=True)) == [(0, 0), (1, 2)]


def test_a_decision_is_left_if_its_choice_is(two_users):
    """u chose b among a, b, c and rated a; v, offered b and c, could not tell them apart."""
    left, rows = without_llms(two_users, A)
    assert rows.tolist() == [0, 1]
    assert left.offers[left.decisions.offer].tolist() == [[False, True, True], [False, True, True]]
    assert list(zip(left.feedback.decision.tolist(), left.feedback.llm.tolist(), strict=True)) == [
        (0, 1),
        (1, 1),
        (1, 2),
    ]
    assert without_llms(two_users, B)[1].tolist() == []
    left, rows = without_llms(two_users, C)
    assert rows.tolist() == [0]  # half of v's choice fell on c
    assert left.feedback.llm.tolist() == [1, 0]
    assert len(left.llms.ids) == 3


def test_a_choice_without_alternative_says_nothing_but_a_rating_does(two_users):
    only_b = Feedback(np.array([1], np.int32), np.array([CHOICE], np.int8), np.array([1], np.int32), np.ones(1))
    assert without_llms(two_users.replace(feedback=only_b), C)[1].tolist() == []
    rated = dataclasses.replace(only_b, kind=np.array([RATING], np.int8))
    assert without_llms(two_users.replace(feedback=rated), C)[1].tolist() == [1]
    assert without_llms(two_users.replace(feedback=rated), B)[1].tolist() == []
    # as it was recorded, with one candidate
    alone = two_users.replace(feedback=only_b, offers=np.array([[True, True, True], [False, True, False]]))
    assert without_llms(alone, C)[1].tolist() == [1]


def test_an_answer_that_is_gone_was_not_shown_first(two_users):
    decisions = dataclasses.replace(two_users.decisions, first=np.array([0, 2], np.int32))
    assert without_llms(two_users.replace(decisions=decisions), A)[0].decisions.first.tolist() == [-1, 2]
    decisions = dataclasses.replace(two_users.decisions, first=np.array([-1, -1], np.int32))
    assert without_llms(two_users.replace(decisions=decisions), A)[0].decisions.first.tolist() == [-1, -1]


def _as_text(data, row):
    """All of a decision, by names."""
    decisions, llms = data.decisions, data.llms.ids
    of_it = data.feedback.decision == row
    said = zip(data.feedback.kind[of_it], llms[data.feedback.llm[of_it]], data.feedback.value[of_it], strict=True)
    who = (data.users.ids[decisions.user[row]], data.queries.ids[decisions.query[row]], decisions.first[row])
    return decisions.ids[row], who, set(llms[data.offers[decisions.offer[row]]]), sorted(said)


def test_touched_decisions_are_exchanged_or_dropped_and_the_others_stay():
    data = build_embedded(Embedded(num_users=6, num_queries=40, num_llms=5, decisions_per_user=15))
    first = np.where(data.offers[:, 2], 2, data.offers.argmax(1))[data.decisions.offer].astype(np.int32)
    data = validate(data.replace(decisions=dataclasses.replace(data.decisions, first=first)))
    new = np.arange(5) == 2
    touched = np.random.default_rng(0).random(len(data.decisions.user)) < 0.5
    other, rows = without_llms(data, new)
    mixed, kept = replace_decisions(data, touched, other, rows)
    validate(mixed)
    lost = np.setdiff1d(np.flatnonzero(touched), rows)
    assert 0 < len(lost) < touched.sum()
    np.testing.assert_array_equal(np.flatnonzero(~kept), lost)
    expected = [
        _as_text(other, np.flatnonzero(rows == row)[0]) if touched[row] else _as_text(data, row)
        for row in np.flatnonzero(kept)
    ]
    assert [_as_text(mixed, row) for row in range(len(mixed.decisions.user))] == expected


def test_decisions_are_found_by_user_and_query():
    data = build_embedded(Embedded(num_users=6, num_queries=40, num_llms=5, decisions_per_user=15))
    order = np.random.default_rng(1).permutation(len(data.decisions.user))
    some = tables.select_decisions(data, np.arange(len(order)) % 3 == 0)
    whole = data.replace(decisions=tables.take(data.decisions, order))
    np.testing.assert_array_equal(whole.decisions.ids[rows_by_pair(some, whole)], some.decisions.ids)
