"""Each feature of an answer's style goes up with what it is named after, and stays put when something else changes."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import strings
from prouter_jax.data.style_features import FEATURES, answer_features, with_answer_style

QUERY = "How do I bake sourdough bread?"
PLAIN = "Mix the flour with water. Leave the dough in a bowl over night. Put it into the oven in the morning."


def _changes(before: str, after: str, query: str = QUERY) -> dict[str, float]:
    """What each feature that changes changes by."""
    old, new = answer_features([query, query], [before, after])
    return {name: float(b - a) for name, a, b in zip(FEATURES, old, new, strict=True) if abs(b - a) > 1e-6}


@pytest.mark.parametrize(
    ("feature", "before", "after"),
    [
        ("exclamation_marks", "night.", "night!"),
        ("question_marks", "night.", "night?"),
        ("emoji", "night.", "night. \U0001f35e"),
        ("commas", "a bowl", "a, bowl"),
        ("brackets", "a bowl", "(a bowl)"),
        ("bold", "a bowl", "**a bowl**"),
        ("list_items", "Mix", "- Mix"),
        ("headings", "Mix", "## Mix"),
        ("table_rows", "Mix", "| Mix"),
        ("code_blocks", "a bowl", "```a bowl```"),
        ("numbered_steps", "Mix", "1. Mix"),
        ("digits", "over night", "over night 12"),
        ("warm_words", "with water", "with thanks"),
        ("playful_words", "water", "magic"),
        ("hedges", "with water", "perhaps water"),
        ("connectives", "with water", "because water"),
        ("first_person", "the flour", "our flour"),
        ("second_person", "the flour", "your flour"),
        ("query_overlap", "the flour", "the bread"),
        ("examples", "with water", "such as water"),
        ("starts_with_affirmation", "Mix the flour", "Sure the flour"),
        ("refuses", "Mix the flour", "I cannot flour"),
        ("offers_more", "it into the oven", "feel free the oven"),
        ("paragraphs", "water. Leave", "water.\n\nLeave"),
        ("words_per_sentence", "water. Leave", "water leave"),
        ("sentences", "dough in", "dough. In"),
        ("long_words", "the flour", "flour-and-all-that"),
        ("letters_per_word", "the flour", "wholemeal flour"),
        ("words", "the flour", "the so fine flour"),
        ("letters", "flour", "flourish"),
        ("vocabulary", "Put it into the oven", "Put some into an oven"),
    ],
)
def test_a_feature_rises_with_what_it_is_named_after(feature, before, after):
    assert before in PLAIN
    assert _changes(PLAIN, PLAIN.replace(before, after, 1))[feature] > 0.01


@pytest.mark.parametrize(
    ("feature", "addition"),
    [
        ("exclamation_marks", "!"),
        ("question_marks", "?"),
        ("emoji", " \U0001f600"),
        ("brackets", " ("),
        ("bold", "****"),
        ("digits", " 7"),
    ],
)
def test_marks_change_nothing_but_their_own_feature(feature, addition):
    assert list(_changes(PLAIN, PLAIN + addition)) == [feature]


def test_no_test_forgets_a_feature():
    marks = test_a_feature_rises_with_what_it_is_named_after.pytestmark  # pyright: ignore[reportFunctionMemberAccess]
    assert {case[0] for case in marks[0].args[1]} == set(FEATURES)
    assert len(set(FEATURES)) == len(FEATURES)


@pytest.mark.parametrize(
    "answer", ["", " ", "\n\n", "!", "1.", "**", "|", "👍", "x" * 100_000, "a " * 50_000, "é\u0000\ud800"]
)
def test_any_text_gives_small_finite_numbers(answer):
    features = answer_features(["", QUERY], [answer, answer])
    assert features.dtype == np.float32
    assert features.shape == (2, len(FEATURES))
    assert (np.abs(features) <= 5).all()


def test_no_answers_have_no_features():
    assert answer_features([], []).shape == (0, len(FEATURES))


def test_a_query_is_wanted_for_each_answer():
    with pytest.raises(ValueError, match="expected one for each of 2 queries, found 1"):
        answer_features(["a", "b"], ["c"])


def test_steps_are_told_from_sentences_and_items():
    steps = "1. Mix it.\n2) Knead it.\nStep 3: Bake it."
    seen = dict(zip(FEATURES, answer_features([QUERY], [steps])[0], strict=True))
    listed = dict(zip(FEATURES, answer_features([QUERY], ["* Mix it.\n• Knead it.\n- Bake it."])[0], strict=True))
    assert seen["numbered_steps"] == pytest.approx(np.log(4))
    assert listed["list_items"] == pytest.approx(np.log(4))
    assert seen["sentences"] == listed["sentences"]
    assert seen["list_items"] == listed["numbered_steps"] == 0


def test_curly_apostrophes_are_apostrophes():
    assert _changes("I'm glad you're here.", "I\u2019m glad you\u2019re here.") == {}


def _style(data) -> np.ndarray:
    style = with_answer_style(data).outcomes.style
    assert style is not None
    return style


def test_style_is_filled_in_where_a_text_stands(two_users):
    assert with_answer_style(two_users) is two_users
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["Sure!", "", "Two."]))
    style = _style(two_users.replace(outcomes=outcomes))
    assert style.shape == (3, len(FEATURES))
    np.testing.assert_array_equal(style[[0, 2]], answer_features(["1+1", "2+2"], ["Sure!", "Two."]))
    assert np.isnan(style[1]).all()


def test_style_that_is_known_stays(two_users):
    known = np.full((3, len(FEATURES)), np.nan, np.float32)
    known[:2] = 7
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["Sure!", "", "Two."]), style=known)
    style = _style(two_users.replace(outcomes=outcomes))
    assert (style[:2] == 7).all()
    assert np.isfinite(style[2]).all()
    assert np.isnan(known[2]).all()


def test_of_a_very_long_text_the_beginning_counts(monkeypatch):
    monkeypatch.setattr("prouter_jax.data.style_features.MOST_CHARACTERS", 100)
    begun = "Certainly! Here are some words. " * 10
    long, short = answer_features([begun, begun[:100]], [f"{begun}# More", begun[:100]])
    np.testing.assert_array_equal(long, short)
