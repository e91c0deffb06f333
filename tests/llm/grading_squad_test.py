"""Token F1 and exact match against values published for the same inputs, of SQuAD's evaluate-v1.1 and its ports."""

import pytest

from prouter_jax.llm.grading_metrics import exact_match, normalize, token_f1

# torchmetrics (tests/unittests/text), HF evaluate's card, jsquad's and other tests of the official script's functions
PUBLISHED = [
    ("1976", "1976", 1.0, 1.0),
    ("Hello", "World", 0.0, 0.0),
    ("rock", "rock n roll", 0.5, 0.0),
    ("2 時間 21 分", "2 時間", 2 / 3, 0.0),
    ("quick brown fox", "quick red fox", 2 / 3, 0.0),
    ("The capital is Paris, France", "Paris", 0.4, 0.0),
    ("the Eiffel Tower", "Eiffel Tower", 1.0, 1.0),
    ("Hello, World!", "hello world", 1.0, 1.0),
    ("hello", "", 0.0, 0.0),
]


@pytest.mark.parametrize(("answer", "reference", "f1", "same"), PUBLISHED)
def test_published_values(answer, reference, f1, same):
    assert token_f1(answer, reference) == pytest.approx(f1)
    assert exact_match(answer, reference) == same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("   Rock    n  Roll.", "rock n roll"),
        ("A cat and a dog", "cat and dog"),
        ("The quick brown fox", "quick brown fox"),
        ("An apple", "apple"),
        ("theatre banana", "theatre banana"),
        ("(a) U.S.-led", "usled"),
        ("a.b", "ab"),
    ],
)
def test_the_official_normalisation(text, expected):
    assert normalize(text) == expected


def test_words_count_with_multiplicity():
    assert token_f1("no no no", "no") == pytest.approx(0.5)
    assert token_f1("no no", "no no no") == pytest.approx(0.8)


def test_two_texts_without_words_match_but_have_no_word_in_common():
    assert (exact_match("the", ""), token_f1("the", "")) == (1.0, 0.0)  # as the official script has it
