"""Cells of every type that gateways write, and those that are told to be of no use."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data.logs import cells


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


def test_amounts():
    found, odd = cells.amounts(pa.array(["0.5", "x", None, "inf", "1e3"]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan, 1000])
    assert odd.tolist() == [False, True, False, True, False]
    found, odd = cells.amounts(pa.array([1, None, -2]))
    np.testing.assert_array_equal(found, [1, np.nan, -2])
    assert not odd.any()
    assert cells.amounts(pa.array([True, None]))[1].tolist() == [True, False]


def test_thumbs():
    words = ["up", "Down", "thumbs_up", "true", "FALSE", "1", "-1", "0", "maybe", None]
    found, odd = cells.thumbs(pa.array(words))
    np.testing.assert_array_equal(found, [1, 0, 1, 1, 0, 1, 0, np.nan, np.nan, np.nan])
    assert odd.tolist() == [False] * 7 + [True, True, False]
    for numbers in (pa.array([1, -1, 0, None]), pa.array([1.0, -1.0, 0.0, None])):
        found, odd = cells.thumbs(numbers)
        np.testing.assert_array_equal(found, [1, 0, np.nan, np.nan])
        assert odd.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(cells.thumbs(pa.array([True, False, None]))[0], [1, 0, np.nan])


def test_times():
    noon = 1767268800.0
    texts = ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-01 12:00:00", "noon", None]
    found, odd = cells.times(pa.array(texts))
    np.testing.assert_array_equal(found, [noon, noon, noon, np.nan, np.nan])
    assert odd.tolist() == [False, False, False, True, False]
    np.testing.assert_array_equal(cells.times(pa.array(["1000.5", "inf"]))[0], [1000.5, np.nan])  # beside texts
    moment = datetime.datetime(2026, 1, 1, 12)
    for unit in ("s", "ms", "us", "ns"):
        np.testing.assert_array_equal(cells.times(pa.array([moment, None], pa.timestamp(unit)))[0], [noon, np.nan])
    np.testing.assert_array_equal(cells.times(pa.array([noon, None]))[0], [noon, np.nan])


def test_names():
    for column in (pa.array([["a", "b"], None, ["c"]]), pa.array(["a|b", None, "c"])):
        found, odd = cells.names(column)
        assert found.to_pylist() == [["a", "b"], None, ["c"]]
        assert not odd.any()
    odd_lists = pa.array([[], ["a", ""], ["a", None], ["a"]])
    assert cells.names(odd_lists)[1].tolist() == [True, True, True, False]
    assert cells.names(odd_lists.slice(1))[1].tolist() == [True, True, False]
    assert cells.names(pa.array([[1]]))[1].tolist() == [True]


def test_questions():
    asked = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "two"},
    ]
    column = pa.array([asked, None, [], [{"role": "system", "content": "x"}], asked[:2]])
    found, odd = cells.questions(column)
    assert found.to_pylist() == ["two", None, None, None, "one"]
    assert not odd.any()
    assert cells.questions(column.slice(3))[0].to_pylist() == [None, "one"]
    texts, odd = cells.questions(pa.array(['[{"role": "user", "content": "one"}]', "[", None]))
    assert texts.to_pylist() == ["one", None, None]
    assert odd.tolist() == [False, True, False]
