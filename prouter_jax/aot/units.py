"""Counts, bytes and seconds as text with units: 10M, 1.50 GiB, 43.0 us."""

import re

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def parse_count(flag: str, text: str) -> int:
    """The whole number of a flag, such as 10M, 500k, 1e6, 2.5M or 1,000.

    Raises:
      ValueError: naming the flag, if the text is not a whole number from 1 to 10^15.
    """
    found = re.fullmatch(r"([\d.]+(?:e\d+)?)([kmgb]?)", text.replace(",", "").replace("_", "").lower())
    try:
        count = float(found[1]) * _FACTORS[found[2]] if found else 0.0
    except ValueError:
        count = 0.0
    if not 1 <= count <= 10**15 or count != int(count):
        raise ValueError(f"flag --{flag}: expected a number such as 500k, 10M or 1e6, found {text!r}")
    return int(count)


def format_bytes(size: float) -> str:
    """`1.50 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.{_digits(size)}f} {unit}"


def format_count(count: float) -> str:
    """`1.50 G`; the name of the unit follows it."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(count) < 1000 or unit == "P":
            break
        count /= 1000
    return f"{count:.{0 if count == int(count) and not unit else _digits(count)}f} {unit}"


def format_seconds(seconds: float) -> str:
    """`43.0 us`."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            break
    return f"{seconds * factor:,.{_digits(seconds * factor)}f} {unit}"


def _digits(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
