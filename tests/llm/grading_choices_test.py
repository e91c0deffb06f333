"""Letters in answers: forms of MMLU-Pro and other published tests, and words that are no letters."""

import pytest

from prouter_jax.llm.grading_metrics import find_letter, multiple_choice

SAID = {
    "The answer is (B).": "B",
    "The answer is B": "B",
    "Final answer: A": "A",
    "Answer - b": "B",
    "So the answer is C.": "C",
    "Correct option is D": "D",
    "Option B is correct because...": "B",
    "(C) is best": "C",
    "We choose D!": "D",
    "\nA. first\nB. second\nC. third\nD. fourth\nTherefore: B": "B",
    "Reasoning... final answer: d": "D",
    "The answer is A but maybe B": "A",
    "\n\nD.\n": "D",
    "A": "A",
    "I.": "I",
    "The correct answer is: **B**": "B",
    r"$\boxed{C}$": "C",
    r"The answer is $\boxed{\text{C}}$.": "C",
    "If the answer is A, then 2 > 3. So the answer is (C).": "C",
}


@pytest.mark.parametrize("answer", SAID)
def test_the_letter_that_an_answer_picks(answer):
    assert find_letter(answer) == SAID[answer]


@pytest.mark.parametrize(
    "answer", ["", "I think that a dog barks.", "A dog. Because it barks.", "The answer is a matter of taste"]
)
def test_words_are_no_letters(answer):
    assert find_letter(answer) is None


def test_letters_beyond_the_choices_do_not_count():
    assert find_letter("Vitamin D matters, so B or not", ["x", "y"]) == "B"
    assert find_letter("(D)", ["x", "y"]) is None


def test_an_answer_may_repeat_the_text_of_a_choice():
    choices = ["9 minutes", "4.5 minutes", "27 minutes", "13.5 minutes"]
    assert multiple_choice("The final answer is 27 minutes after scaling the rate.", "C", choices) == 1
    assert multiple_choice("It is 9 minutes or 27 minutes.", "C", choices) == 0  # two are named, none is picked


@pytest.mark.parametrize("reference", ["B", "b", "(B)", "B.", " yes "])
def test_the_reference_is_a_letter_or_the_text_of_a_choice(reference):
    assert multiple_choice("The answer is B", reference, ["no", "yes"]) == 1
    assert multiple_choice("The answer is A", reference, ["no", "yes"]) == 0


@pytest.mark.parametrize(
    ("reference", "choices"), [("1", ["no", "yes"]), ("C", ["no", "yes"]), ("maybe", ()), ("", ())]
)
def test_an_invalid_reference_is_an_error(reference, choices):
    with pytest.raises(ValueError, match=r"^expected a letter from A to [BJ]"):
        multiple_choice("A", reference, choices)
