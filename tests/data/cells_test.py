"""Cells of every type that files have, and those that cannot be read."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data import cell_times, cells


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "", None]), ["a", None, None]),
        (pa.array([2**60, None]), [str(2**60), None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_texts(column, expected):
    found, odd = cells.texts(column)
    assert found.to_pylist() == expected
    assert not odd.any()


def test_a_structure_is_no_text():
    found, odd = cells.texts(pa.array([{"id": 1}, None]))
    assert found.to_pylist() == [None, None]
    assert odd.tolist() == [True, False]


def test_whole_floats_and_bytes_are_texts():
    found, odd = cells.texts(pa.array([1.0, 2.5, None, np.nan]))
    assert (found.to_pylist(), odd.tolist()) == (["1", None, None, None], [False, True, False, False])
    found, odd = cells.texts(pa.array([b"a", b"\xff", None]))
    assert (found.to_pylist(), odd.tolist()) == (["a", None, None], [False, True, False])
    assert cells.texts(pa.chunked_array([["a"], ["b"]]))[0].to_pylist() == ["a", "b"]


def test_numbers():
    found, odd = cells.numbers(pa.array(["0.5", "x", None, "inf", "1e3", "", " ", "NaN"]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan, 1000, np.nan, np.nan, np.nan])
    assert odd.tolist() == [False, True, False, True, False, False, False, False]
    found, odd = cells.numbers(pa.array([1.5, np.nan, np.inf, None]))
    np.testing.assert_array_equal(found, [1.5, np.nan, np.nan, np.nan])
    assert odd.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(cells.numbers(pa.array([decimal.Decimal("1.25"), None]))[0], [1.25, np.nan])
    np.testing.assert_array_equal(cells.numbers(pa.array(["3", "4"]).dictionary_encode())[0], [3, 4])
    assert cells.numbers(pa.array([True, None]))[1].tolist() == [True, False]
    np.testing.assert_array_equal(cells.numbers(pa.array([True, False, None]), booleans=True)[0], [1, 0, np.nan])


def test_times():
    noon = 1767268800.0
    texts = ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-01 12:00:00", "noon", None]
    found, odd = cell_times.times(pa.array(texts))
    np.testing.assert_array_equal(found, [noon, noon, noon, np.nan, np.nan])
    assert odd.tolist() == [False, False, False, True, False]
    np.testing.assert_array_equal(cell_times.times(pa.array(["1000.5", "inf"]))[0], [1000.5, np.nan])  # beside texts
    moment = datetime.datetime(2026, 1, 1, 12)
    for unit in ("s", "ms", "us", "ns"):
        np.testing.assert_array_equal(cell_times.times(pa.array([moment, None], pa.timestamp(unit)))[0], [noon, np.nan])
    np.testing.assert_array_equal(cell_times.times(pa.array([noon, None]))[0], [noon, np.nan])


MAY = 1716990379.963  # 2024-05-29 13:46:19.963 UTC


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_the_unit_of_a_time_is_that_in_which_it_lies_in_these_decades(unit):
    for column in (pa.array([MAY * unit]), pa.array([str(round(MAY * unit))])):
        np.testing.assert_allclose(cell_times.times(column)[0], MAY, atol=1)
    np.testing.assert_array_equal(cell_times.times(pa.array([7.0, -3.0, 5e20]))[0], [7.0, -3.0, 5e20])


def test_a_time_that_was_read_is_read_alike_again():
    values = np.random.default_rng(0).uniform(*np.log(cell_times.PLAUSIBLE), 1000)
    seconds = np.exp(values)
    for unit in (1, 1e3, 1e6, 1e9):
        once = cell_times.as_seconds(seconds * unit)
        np.testing.assert_allclose(once, seconds, rtol=1e-12)
        np.testing.assert_array_equal(cell_times.as_seconds(once), once)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-29 13:46:19.963000",
        "2024-05-29T13:46:19.963Z",
        "2024-05-29T15:46:19.963+02:00",
        "2024-05-29T13:46:19.963123456Z",
        "2024-05-29 13:46:19.963 UTC",
        "Wed, 29 May 2024 13:46:19 GMT",
    ],
)
def test_texts_of_a_time(text):
    for column in (pa.array([text]), pa.array([text, "1"]), pa.array([text]).dictionary_encode()):
        found, odd = cell_times.times(column)
        np.testing.assert_allclose(found[0], MAY, atol=1)
        assert not odd.any()


def test_times_of_arrow():
    days = pa.array([datetime.date(2024, 5, 29), None])
    for kind in (pa.date32(), pa.date64()):
        np.testing.assert_array_equal(cell_times.times(days.cast(kind))[0], [1716940800, np.nan])
    nanoseconds = pa.array(
        [1796007434015090261, None], pa.timestamp("ns")
    )  # as pandas writes them, not whole microseconds
    np.testing.assert_allclose(cell_times.times(nanoseconds)[0], [1796007434.01509, np.nan])
    assert cell_times.times(pa.array([datetime.time(1)]))[1].tolist() == [True]


def test_name_lists():
    for column in (
        pa.array([["a", "b"], None, ["c"]]),
        pa.array(["a|b", None, "c"]),
        pa.array(['["a", "b"]', None, '["c"]']),
        pa.array([["a", "b"], None, ["c"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([[{"model": "a"}, {"model": "b"}], None, [{"model": "c", "price": 1}]]),
        pa.array(["a|b", None, "c"]).dictionary_encode(),
    ):
        found, odd = cells.name_lists(column)
        assert found.to_pylist() == [["a", "b"], None, ["c"]]
        assert not odd.any()
    fixed = pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2))
    assert cells.name_lists(fixed)[0].to_pylist() == [["a", "b"], None, ["c", "d"]]
    assert not cells.name_lists(fixed)[1].any()
    odd_lists = pa.array([[], ["a", ""], ["a", None], ["a"]])
    assert cells.name_lists(odd_lists)[1].tolist() == [True, True, True, False]
    assert cells.name_lists(odd_lists.slice(1))[1].tolist() == [True, True, False]
    assert cells.name_lists(pa.array([1.5]))[1].tolist() == [True]


COLUMNS = [
    (["a", 1, None], ["a", "1", None]),
    ([1, 2.5], [1.0, 2.5]),
    ([10**400, 0.5], [np.inf, 0.5]),
    ([10**30], [str(10**30)]),
    ([True, None], [True, None]),
    ([["a"], "b"], ['["a"]', "b"]),
    ([[1], ["a"]], ["[1]", '["a"]']),
    ([{"a": 1}, {"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
    (["a", "\ud800"], [b"a", b"\xed\xa0\x80"]),
    (["\udcff"], [b"\xff"]),
    ([], []),
]


@pytest.mark.parametrize(("values", "expected"), COLUMNS)
def test_a_column_of_any_python_values(values, expected):
    assert cells.column_of(values).to_pylist() == expected


def test_times_that_python_cannot_hold_become_texts_or_integers():
    when = pa.array([1, None], pa.timestamp("ns"))
    assert cells.to_python(when) == ["1970-01-01 00:00:00.000000001", None]
    assert cells.to_python(pa.array([[1]], pa.list_(pa.timestamp("ns")))) == [["1970-01-01 00:00:00.000000001"]]
    assert cells.to_python(pa.array([{"a": 1}], pa.struct([("a", pa.duration("ns"))]))) == [{"a": 1}]
    assert cells.to_python(pa.array([2**30], pa.date32())) == [2**30]
    assert cells.to_python(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.timestamp("ns")))) == [
        [("k", "1970-01-01 00:00:00.000000001")]
    ]
