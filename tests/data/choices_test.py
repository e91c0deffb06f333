"""Options of multiple-choice questions are read from every published form, and nothing in them is run."""

import pytest

from prouter_jax.data.choices import letter_of, parse_choices

AB = (["A", "B"], ["one", "two"])


@pytest.mark.parametrize(
    "cell",
    [
        ["one", "two"],
        '["one", "two"]',
        "['one', 'two']",
        {"text": ["one", "two"], "labels": ["A", "B"]},
        "{'text': ['one', 'two'], 'label': ['A', 'B']}",
        '{"text": ["one", "two"]}',
        '{"A": "one", "B": "two"}',
        "{'text': array(['one', 'two'], dtype=object), 'label': array(['A', 'B'], dtype=object)}",
    ],
)
def test_every_form_gives_labels_and_texts(cell):
    assert parse_choices(cell) == AB


def test_numbers_and_other_labels():
    assert parse_choices("{'text': [1, 2.5], 'label': ['1', '2']}") == (["1", "2"], ["1", "2.5"])
    assert letter_of("2", ["1", "2"]) == "B"
    assert letter_of(" B ", ["A", "B"]) == "B"
    assert letter_of("two", ["A", "B"]) == "two"


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "one",
        "[]",
        "{}",
        [[1]],
        "{'text': ['one'], 'label': ['A', 'B']}",
        "__import__('os').system('true')",
        "[__import__('os')]",
        "[" * 60_000,
        str(list(range(11))),
        "['x'" + ", 'x'" * 30_000 + "]",
    ],
)
def test_anything_else_is_refused(cell):
    with pytest.raises(ValueError, match="expected"):
        parse_choices(cell)
