"""Times in columns of any Arrow type, as seconds since 1970.

A number is a time in seconds, milliseconds, microseconds or nanoseconds since 1970: the unit in which it lies between
1998 and 2103. These ranges do not overlap. A number outside all of them is kept.
"""

import datetime
import email.utils

import numpy as np
import pyarrow as pa

from prouter_jax.data import cells

PLAUSIBLE = (9e8, 4.2e9)
"""Seconds since 1970 from 1998 to 2103, the times that a number can mean."""
_UNITS = (1.0, 1e3, 1e6, 1e9)  # in a second
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_is = pa.types


def times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970, from Arrow's times and dates, ISO 8601 and RFC 2822 texts (UTC by default) and numbers."""
    column = cells.decoded(column)
    if _is.is_timestamp(column.type):
        return _scaled(column.cast(pa.int64()), _PER_SECOND[column.type.unit])
    if _is.is_date(column.type):
        return _scaled(column.cast(pa.timestamp("ms")).cast(pa.int64()), 1000)
    if cells.is_binary(column.type):
        texts, bad = cells.texts(column)
        seconds, odd = times(texts)
        return seconds, bad | odd
    if not cells.is_text(column.type):
        values, bad = cells.numbers(column)
        return as_seconds(values), bad
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return _scaled(column.cast(kind).cast(pa.int64()), _PER_SECOND["ns"])
        except pa.ArrowException:  # some text has another form
            continue
    return cells.map_distinct(column, _as_time)


def as_seconds(values: np.ndarray) -> np.ndarray:
    """Numbers as seconds: those that are plausible times in a finer unit are divided, the others stay."""
    low, high = PLAUSIBLE
    for unit in _UNITS[1:]:
        values = np.where((values >= low * unit) & (values < high * unit), values / unit, values)
    return values


def _scaled(whole: pa.Array, per_second: int) -> tuple[np.ndarray, np.ndarray]:
    missing = ~whole.is_valid().to_numpy(zero_copy_only=False)
    seconds = whole.fill_null(0).to_numpy(zero_copy_only=False) / per_second
    return np.where(missing, np.nan, seconds), np.zeros(len(whole), bool)


def _as_time(text: str) -> float | None:
    number = cells.as_number(text)
    if number is not None:
        return float(as_seconds(np.array(number)))
    for parse in (datetime.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            moment = parse(text.strip().removesuffix(" UTC"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
