"""Style scores: of two answers the one with more of a style scores higher."""

import time

import numpy as np
import pytest

from prouter_jax.llm.judges.base import STYLES
from prouter_jax.llm.judges.style_scores import score_styles

QUERY = "How do I boil an egg for breakfast?"
PLAIN = "Boil the egg in water. It takes eight minutes. Cool it under the tap. Peel it and eat it."
MORE = {
    "warmth": "Dear friend, I hope you enjoy your egg. Boil it in water. I understand your worry. Take care!",
    "play": "Wow, an egg party! Imagine a silly egg pirate in a hot tub! Boom, eight minutes, yay! 🥚",
    "steps": "1. Boil the egg.\n2. Wait eight minutes.\n3. Then cool it.\n4. Finally peel it.",
    "brevity": "8 minutes at 100 degrees.",
    "explanation": "Boil the egg, because heat sets the protein. Therefore wait. The reason for cold water is, for "
    "example, that it stops the cooking, which explains why cooks use it.",
    "relevance": "Boil an egg for breakfast: boil the egg.",
    "completeness": "To boil an egg for breakfast, boil it in water. "
    + "Put it in, wait for it, and cool it well. " * 8,
    "eloquence": "Lower the delicate egg, patiently, into simmering water; await, unhurried, its transformation.",
    "simplicity": "It is like a hot bath. Just look. Put it in. See it hop. Like a big fish.",
}


def _scores(*answers, query=QUERY):
    return score_styles([query] * len(answers), answers)


@pytest.mark.parametrize("style", STYLES)
def test_more_of_a_style_scores_higher(style):
    plain, more = _scores(PLAIN, MORE[style])[:, STYLES.index(style)]
    assert more > plain


@pytest.mark.parametrize("style", ["warmth", "play", "steps", "brevity", "explanation", "relevance", "eloquence"])
def test_the_answer_made_for_a_style_has_most_of_it(style):
    scores = _scores(*MORE.values())[:, STYLES.index(style)]
    assert list(MORE)[scores.argmax()] == style


SIGNS = [
    ("warmth", "It is a good old egg.", "It is a Kind old egg."),
    ("warmth", "Put the egg here.", "Put your egg here."),
    ("play", "It is a good old egg.", "It is a Silly old egg."),
    ("play", "It is done.", "It is done!"),
    ("play", "It is done.", "It is done 🥚."),
    ("steps", "Boil it.", "1. Boil it."),
    ("steps", "Boil it.", "- Boil it."),
    ("steps", "So boil it.", "Then boil it."),
    ("brevity", "Boil for some minutes.", "Boil for some 8 minutes."),
    ("explanation", "Boil it so it sets.", "Boil it Because it sets."),
    ("eloquence", "Boil it and cool it.", "Boil it, and cool it."),
    ("eloquence", "Boil it then boil it.", "Boil it then cool it."),
    ("simplicity", "It was a hot bath.", "It was like a hot bath."),
    ("simplicity", "Boil it and then cool it.", "Boil it. And then cool it."),
]


@pytest.mark.parametrize(("style", "without", "having"), SIGNS)
def test_one_more_sign_of_a_style_counts(style, without, having):
    before, after = _scores(without, having)[:, STYLES.index(style)]
    assert after > before


def test_relevance_is_to_the_query():
    to_eggs, to_cars = (_scores(PLAIN, query=query)[0] for query in (QUERY, "How do I change a tyre?"))
    assert to_eggs[STYLES.index("relevance")] > to_cars[STYLES.index("relevance")]
    others = [row for row, style in enumerate(STYLES) if style not in ("relevance", "completeness")]
    np.testing.assert_array_equal(to_eggs[others], to_cars[others])


@pytest.mark.parametrize("rambling", ["egg " * 2000, "No."])
def test_too_much_and_too_little_are_both_incomplete(rambling):
    good, bad = _scores(MORE["completeness"], rambling)[:, STYLES.index("completeness")]
    assert good > bad


def test_an_answer_that_is_cut_off_is_less_complete():
    whole, cut = _scores(PLAIN, PLAIN[:-1])[:, STYLES.index("completeness")]
    assert whole - cut == pytest.approx(0.5)


@pytest.mark.parametrize("text", ["", " \n", "x" * 10000, "=" * 5000, "卵を茹でる。", "🥚" * 100, "1\n2\n3", "\x00"])
def test_any_text_has_finite_scores(text):
    scores = score_styles(["", text], [text, text])
    assert scores.shape == (2, 9)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_apostrophes_of_all_kinds_are_the_same():
    straight, curly = _scores("You're here.", "You\u2019re here.")
    np.testing.assert_array_equal(straight, curly)


def test_thousands_of_answers_a_second():
    answers = [PLAIN * 15] * 500
    begun = time.process_time()
    score_styles([QUERY] * 500, answers)
    assert 500 / (time.process_time() - begun) > 1000
