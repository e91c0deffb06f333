"""Whether the number at the end of an answer is the right one, as in GSM8K (Cobbe et al. 2021, arXiv 2110.14168)."""

import decimal
import re

# a minus belongs to the number unless something that can be subtracted from stands before it
_NUMBER = r"(?:(?<![\w.)])-)?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)"
_MARKED = re.compile(rf"####\s*\$?({_NUMBER})")
_ANY = re.compile(_NUMBER)


def number_at_end(answer: str, reference: str) -> float:
    """1 where both end in the same number, else 0: the last one behind "####", else the last one at all.

    Commas between thousands do not matter, nor do zeros at the end: 1,200.0 is 1200.

    Raises:
      ValueError: if there is no number in the reference.
    """
    right = _last_number(reference)
    if right is None:
        raise ValueError(f"expected a number in the reference, found {reference[:80]!r}")
    return float(_last_number(answer) == right)


def _last_number(text: str) -> decimal.Decimal | None:
    numbers = _MARKED.findall(text) or _ANY.findall(text)
    return decimal.Decimal(numbers[-1].replace(",", "")) if numbers else None
