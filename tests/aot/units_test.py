"""Numbers in words, both ways."""

import pytest

from prouter_jax.aot.units import format_bytes, format_count, format_seconds, parse_count


@pytest.mark.parametrize(
    ("text", "count"),
    [("10M", 10**7), ("1e6", 10**6), ("500k", 500_000), ("2.5m", 2_500_000), ("1,000", 1000), ("7", 7), ("1B", 10**9)],
)
def test_counts_are_read(text, count):
    assert parse_count("users", text) == count


@pytest.mark.parametrize("text", ["", "ten", "0", "-5", "1.5", "M", "1.2.3", "10Q", "nan", "inf", "1e99"])
def test_what_is_no_count_is_one_line(text):
    with pytest.raises(ValueError, match=r"^flag --users: expected a number such as 500k, 10M or 1e6, found '.*'$"):
        parse_count("users", text)


def test_words():
    assert [format_bytes(size) for size in (0, 1000, 2048, 15.75 * 2**30)] == [
        "0 B",
        "1,000 B",
        "2.00 KiB",
        "15.8 GiB",
    ]
    assert format_bytes(5000 * 2**30) == "5,000 GiB"
    assert [format_count(count) for count in (0, 512, 2.08e9, 983_140)] == ["0 ", "512 ", "2.08 G", "983 k"]
    assert [format_seconds(seconds) for seconds in (0, 4.35e-5, 0.0024, 12)] == [
        "0.00 us",
        "43.5 us",
        "2.40 ms",
        "12.0 s",
    ]
