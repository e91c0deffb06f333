"""The number at the end, against the verdicts that OpenAI published with GSM8K's example_model_solutions.jsonl."""

import pytest

from prouter_jax.llm.grading_metrics import number_at_end

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
