"""Multiple choice: which letter an answer picks."""

import re
from collections.abc import Sequence

from prouter_jax.grading.squad import normalise

_LETTERS = "ABCDEFGHIJ"
# around a letter: brackets, stars of Markdown, LaTeX boxes
_OPEN = r"(?:[\s(\[{*_$:]|\\boxed|\\text|\\mathrm)*"
_CLOSE = r"(?=[\s)\]}*_$.,:;!?]|$)"
_STATED = re.compile(
    rf"\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be)\b|\s*[:=-])?(?:\s+(?:option|choice)\b)?"
    rf"{_OPEN}(?:(?-i:([A-J])){_CLOSE}|([a-j])(?=[)\]}}*.]|\s*$))",
    re.IGNORECASE,
)
# a capital by itself; A and I are words as well, so they need a sign around them or a line of their own
_BARE = re.compile(r"(?<![\w'])(?:([B-HJ])(?![\w'])|([AI])(?=[)\]}*:]|\.?\s*$))", re.MULTILINE)


def multiple_choice(answer: str, reference: str, choices: Sequence[str] = ()) -> float:
    """1 where the answer picks the letter that is right, else 0.

    The letter is the last one that the answer states ("the answer is (B)", "Option B"), else the last capital that
    stands by itself, else that of the one choice whose text the answer repeats.

    Args:
      reference: a letter from A to J, or the text of a choice.
      choices: their texts, A first.

    Raises:
      ValueError: if the reference is neither.
    """
    return float(find_letter(answer, choices) == _right_letter(reference, choices))


def find_letter(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The letter that an answer picks, None if it picks none."""
    possible = _LETTERS[: len(choices) or None]
    for pattern in (_STATED, _BARE):
        found = [(first or second).upper() for first, second in pattern.findall(answer)]
        found = [letter for letter in found if letter in possible]
        if found:
            return found[-1]
    said = f" {normalise(answer)} "
    repeated = [letter for letter, text in zip(_LETTERS, choices, strict=False) if f" {normalise(text)} " in said]
    return repeated[0] if len(repeated) == 1 else None


def _right_letter(reference: str, choices: Sequence[str]) -> str:
    possible = _LETTERS[: len(choices) or None]
    letter = reference.strip().strip("().").upper()
    if len(letter) == 1 and letter in possible:
        return letter
    texts = [text.strip() for text in choices]
    if texts.count(reference.strip()) == 1:
        return _LETTERS[texts.index(reference.strip())]
    expected = f"a letter from A to {possible[-1]}{' or the text of one of the choices' if choices else ''}"
    raise ValueError(f"expected {expected} as the reference, found {reference[:80]!r}")
