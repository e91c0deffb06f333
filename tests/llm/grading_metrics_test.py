"""Metrics by name, and the user's own functions."""

import math
import sys

import pytest

from prouter_jax.llm.grading_metrics import (
    exact_match,
    find_letter,
    find_metric,
    make_rouge_l,
    multiple_choice,
    normalize,
    number_at_end,
    token_f1,
)


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
    with pytest.raises(ValueError, match=r"^expected a metric \(token_f1, .*, judge or MODULE:FUNCTION\), found 'xy'$"):
        find_metric("xy")
    with pytest.raises(ValueError, match=r"found 'exact_matc' \(did you mean exact_match\?\)$"):
        find_metric("exact_matc")


def test_a_name_from_data_never_imports_code(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^expected a metric \(token_f1, .*\), found 'planted:f'; .*--metric alone$"):
        find_metric("planted:f")
    assert "planted" not in sys.modules


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


DUCKS = "She makes 9 * 2 = $<<9*2=18>>18 every day at the farmer\u2019s market.\n#### 18"
HOUSE = "So he made a profit of 200,000-130,000=$<<200000-130000=70000>>70,000\n#### 70000"
BOLTS = "So the total amount of fabric is 2+1=<<2+1=3>>3 bolts of fabric\n#### 3"
GLASSES = "So in total Kylar needs to pay 24 + 40 = $<<24+40=64>>64 for the glasses he wants to buy.\n#### 64"
PUBLISHED = [  # end of the solution, end of the right one, is_correct
    ("so she makes 13 * 2 = $<<13*2=26>>26\nA: 26", DUCKS, False),
    ("and has 9 available for sale so 2 * 9 = $<<2*9=18>>18 per day\nA: 18", DUCKS, True),
    ("So it takes 2 + 1 = <<2+1=3>>3.0 bolts of blue and white fiber altogether.\nA: 3", BOLTS, True),
    ("So it takes a total of 200+50 = <<200+50=250>>250 meters of fiber\nA: 250", BOLTS, False),
    ("This means he made a profit of 130,000-40,000=$<<130000-40000=90000>>90,000\nA: 90,000", HOUSE, False),
    ("His profit was 975-130,000 = $<<975-130000=-129025>>-129025\nA: -129025", HOUSE, False),
    ("For the thirteenth glass Kylar needs to pay 5 * 1", GLASSES, False),
]


@pytest.mark.parametrize(("answer", "reference", "correct"), PUBLISHED)
def test_published_verdicts(answer, reference, correct):
    assert number_at_end(answer, reference) == correct


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("It is 1,200.", "1200"),
        ("#### 1,200.0", "#### 1200"),
        ("#### $18\nThat was question 7.", "18"),
        ("#### Step 1\nAdd.\n#### Step 2\nIt makes 18", "18"),
        ("x = -5", "-5"),
        ("between 2-5", "5"),
        ("a list: 1,2,34", "34"),
        ("a list: 1,2345", "2345"),
        ("0.5", ".50"),
        ("**$1,234,567**", "1234567"),
    ],
)
def test_equal_numbers_in_other_notations(answer, reference):
    assert number_at_end(answer, reference) == 1


@pytest.mark.parametrize(("answer", "reference"), [("", "5"), ("five", "5"), ("15", "5"), ("5", "-5"), ("5.1", "5")])
def test_another_number_or_none(answer, reference):
    assert number_at_end(answer, reference) == 0


def test_a_reference_without_a_number_is_an_error():
    with pytest.raises(ValueError, match=r"^expected a number in the reference, found 'many'$"):
        number_at_end("5", "many")


TARGETS = [
    "ZfbCUIUuePaiLVUlCaUXxkpu XPeWing tUHfPMuZ',-Xd Y BrUgVJing M-HV.-DgdDaY.rFDJCRing Ht-LM EKBDXkME,yz'RBr q'wtion "
    "wIojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxer tKM L",
    "KsJdPByEtAor fE-Qg Dpdbring cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMtion psing sbKao Q m qiing LMmer "
    "HqqLFXe,XPY,J XsurkMer ,ed nB'wH'bWVHjWFEing tQ.saefZwJtKrTlixYpMMsJing UCAPwNHeYVjDing c T BUySKtion "
    "gMPfJpwGw p'NvxAoping eu pBwMBKV'I DNxqelhu,PHPxDEq,mtion SN",
]
PREDICTIONS = [
    "rFDJCRtion Ht-LM EKtDXkME,yz'RBr q'wer wrojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxi",
    "n cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMer pstion sbKao Q m qier LMmed HqqLFXe,XPY,J XsurkMeo ,ed "
    "nB'wH'bWVHjWFEer tQ.saefZwJtKrTlixYpMMNJtion UCAPwNHeYVjD",
]
ROUGE_PUBLISHED = [
    ("testing one", "testing one two", 4 / 5),
    ("testing two", "testing one two", 4 / 5),
    ("", "testing one two", 0.0),
    (PREDICTIONS[0], TARGETS[0], 0.51163),
    (PREDICTIONS[1], TARGETS[1], 0.5),
]


@pytest.mark.parametrize(("answer", "reference", "expected"), ROUGE_PUBLISHED)
def test_published_values_of_rouge(answer, reference, expected):
    pytest.importorskip("rouge_score")
    assert make_rouge_l()(answer, reference) == pytest.approx(expected, abs=5e-6)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(ValueError, match=r"^metric rouge_l: needs pip install 'prouter-jax\[grading\]' first$"):
        make_rouge_l()


# torchmetrics (tests/unittests/text), HF evaluate's card, jsquad's and other tests of the official script's functions
SQUAD_PUBLISHED = [
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


@pytest.mark.parametrize(("answer", "reference", "f1", "same"), SQUAD_PUBLISHED)
def test_published_values_of_squad(answer, reference, f1, same):
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
