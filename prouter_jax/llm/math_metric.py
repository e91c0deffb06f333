r"""The metric math_boxed: the last \boxed{...} of an answer against that of the reference, as MATH is graded.

Normalised as in Hendrycks et al. 2021 (arXiv 2103.03874): spaces, \left and \right, units, dollars, percent and degree
signs do not count; \dfrac and \tfrac are \frac, a/b is a fraction, .5 is 0.5. Equal numbers are equal, however written.
"""

import fractions
import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_UNIT = re.compile(r"\\text(?:rm)?\{\s[^{}]*\}$|\\(?:text|mathrm|mbox|textbf)\{([^{}]*)\}")
_IGNORED = re.compile(r"\\left|\\right|\\[!,;: ]|\\\$|\$|\\?%|\^\{?\\circ\}?|\s+|\\displaystyle|~")
_FRACTION = re.compile(r"\\[dt]?frac(?:\{([^{}]*)\}|(\d))(?:\{([^{}]*)\}|(\d))")
_ASSIGNMENT = re.compile(r"^[A-Za-z]\w?=(?=[^=]+$)")
_RATIO = re.compile(r"(-?)\(?(-?\d+(?:\.\d+)?|-?\.\d+)(?:/(\d+(?:\.\d+)?))?\)?")
_MINUS = str.maketrans(dict.fromkeys("\u2212\u2013", "-"))
_LONGEST = 200  # characters of an answer that is read as a number


def math_boxed(answer: str, reference: str) -> float:
    """1 if the last box of the answer has what the reference has (in its last box, if it has one), else 0.

    An answer without a box is compared whole.
    """
    expected, found = (normalize_math(last_box(text) or text) for text in (reference, answer))
    return float(expected == found or (_number(expected) is not None and _number(expected) == _number(found)))


def last_box(text: str) -> str:
    """The content of the last \\boxed{...}; "" without one."""
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return ""
    start = boxes[-1].end()
    if text[start : start + 1] != "{":
        return text[start:].split("$")[0].split("\n")[0].strip()
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + 1 : place].strip()
    return ""


def normalize_math(text: str) -> str:
    """A LaTeX expression in the normal form that is compared."""
    text = _UNIT.sub(lambda found: found[1] or "", text.strip().translate(_MINUS))
    text = _IGNORED.sub("", text).removesuffix(".").replace("{,}", ",")
    text = _ASSIGNMENT.sub("", text)
    text = _FRACTION.sub(lambda found: f"({found[1] or found[2]})/({found[3] or found[4]})", text)
    return re.sub(r"\((-?[\w.]+)\)(?=/|$)|(?<=/)\((-?[\w.]+)\)", lambda found: found[1] or found[2], text)


def _number(text: str) -> fractions.Fraction | None:
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text[:_LONGEST])
    found = _RATIO.fullmatch(plain)
    if found is None:
        return None
    try:
        value = fractions.Fraction(found[2]) / fractions.Fraction(found[3] or 1)
    except ZeroDivisionError:
        return None
    return -value if found[1] and not found[2].startswith("-") else value
