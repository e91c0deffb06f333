"""Numbers as all pages and messages show them; an unknown number is a dash."""

import math

DASH = "–"  # noqa: RUF001 (an en dash is what an empty cell shows)


def number(value: float, sign: bool = False) -> str:
    """Four decimals, or a dash."""
    return f"{value:{'+' if sign else ''}z.4f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    """A share as a percentage, or a dash."""
    return f"{100 * value:z.1f} %" if math.isfinite(value) else DASH


def dollars(value: float) -> str:
    """USD per query as USD per 1000 queries (costs per query are too small to read), or a dash."""
    if not math.isfinite(value):
        return DASH
    thousand = 1000 * value
    if thousand == 0:
        return "0"
    return f"{thousand:,.{max(0, 2 - math.floor(math.log10(abs(thousand))))}f}"
