"""Integer replies: one object with one integer; anything else is refused with a message for the LLM."""

import pytest

from prouter_jax.llm.replies import IntegerFormat

FORMAT = IntegerFormat("best", 1, 10, "Say which.")


@pytest.mark.parametrize(("text", "best"), [('{"best": 1}', 1), (' {"best":10}\n', 10), ('{ "best" : 7 }', 7)])
def test_an_object_with_the_integer_is_parsed(text, best):
    assert FORMAT.parse(text) == best


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "[3]", '"best"', "null", '{"best": 3', '{"best": 3} because', '{"best": 3}{"best": 3}', "best: 3"),
        *('{"best": 3, "why": "x"}', '{"best": 3, "best": 3}', '{"Best": 3}', "{}", '[["best", 3]]', "[" * 100000),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r'^expected one JSON object \{"best": n\} and nothing else, found '):
        FORMAT.parse(text)


@pytest.mark.parametrize("best", ["0", "11", "-1", "3.0", "true", "null", '"3"', "[3]", "1e1", "NaN"])
def test_a_number_out_of_range_is_refused(best):
    with pytest.raises(ValueError, match=r"^best: expected a whole number from 1 to 10, found "):
        FORMAT.parse(f'{{"best": {best}}}')


def test_the_repair_request_has_the_start_of_the_reply_and_the_problem():
    shown, asked = FORMAT.repair_messages("x" * 10000, "expected this, found that")
    assert shown["content"] == "x" * 2000
    assert "expected this, found that" in asked["content"]
    assert asked["content"].endswith("Say which.")
