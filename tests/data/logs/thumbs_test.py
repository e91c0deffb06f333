"""Codings of thumbs: one for a whole column, found from all of its values, or an error that names the flag."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data.logs.thumbs import Thumbs, parse_thumbs


def _coded(*files, given=None):
    """The meaning of each value of a column in one or several files, and the coding."""
    thumbs = Thumbs()
    codes = [thumbs.read(pa.array(values), "thumb", f"file{number}")[0] for number, values in enumerate(files)]
    coding = thumbs.coding(given)
    return np.append(coding.meaning, np.nan)[np.concatenate(codes)].tolist(), coding


SAME = [
    [1, 0, 1, 0],
    [1, -1, 1, -1],
    [1.0, 0.0, 1.0, 0.0],
    ["1", "0", "1.0", " 0 "],
    ["+1", "-1", "+1", "-1"],
    [True, False, True, False],
    ["true", "False", "TRUE", "false"],
    ["up", "down", "Up", "DOWN"],
    ["thumbs_up", "thumbs-down", "Thumbs Up", "thumbsDown"],
    ["like", "dislike", "liked", "disliked"],
    ["👍", "👎", "👍🏽", "👎🏿"],
    [":thumbs_up:", ":thumbs_down:", "❤️", "❌"],
    ["positive", "negative", "good", "bad"],
    ["yes", "no", "Y", "n"],
    ["up", "down", "👍", "dislike"],
    ["up", "down", "1", "down"],
    [1, 0, 1, 0],
]


@pytest.mark.parametrize("values", SAME)
def test_codings_that_say_what_they_mean(values):
    found, coding = _coded(values)
    assert found == [1, 0, 1, 0]
    assert not coding.unreadable
    assert _coded(values[::-1])[0] == [0, 1, 0, 1]
    assert _coded(values, values)[0] == [1, 0, 1, 0] * 2


def test_the_type_of_a_column_does_not_matter():
    for kind in (pa.int8(), pa.float32(), pa.bool_(), pa.string(), pa.decimal128(22, 1)):
        column = pa.array([1, 0, None]).cast(kind)
        for one in (column, column.dictionary_encode() if kind != pa.bool_() else column):
            thumbs = Thumbs()
            codes, bad = thumbs.read(one, "thumb", "file")
            np.testing.assert_array_equal(np.append(thumbs.coding(None).meaning, np.nan)[codes], [1, 0, np.nan])
            assert not bad.any()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 0, -1], [1, np.nan, 0]),
        (["up", "neutral", "down", "", None], [1, np.nan, 0, np.nan, np.nan]),
        ([1.0, 0.0, float("nan")], [1, 0, np.nan]),
        (["up", "null", "N/A", "down"], [1, np.nan, np.nan, 0]),
    ],
)
def test_values_of_no_feedback(values, expected):
    np.testing.assert_array_equal(_coded(values)[0], expected)


AMBIGUOUS = [
    [1],
    [0],
    [-1],
    [1] * 500,
    [0, -1],
    [1, 2],
    [1, 2, 3, 4, 5],
    [0, 0.5, 1],
    [0, 1, 2],
    ["up"] * 10,
    ["down", "down"] * 5,
    [True] * 10,
    ["👍"] * 10,
    ["accept it", "reject it"],
    ["up", "meh"],
    ["up", 0],
    ["up", "down", 0],
    ["a", "b"],
    ["Great answer, thanks!", "Wrong."],
]


@pytest.mark.parametrize("values", AMBIGUOUS)
def test_an_ambiguous_column_is_an_error_that_names_the_flag(values):
    values = values if len({type(value) for value in values}) == 1 else list(map(str, values))
    with pytest.raises(ValueError, match=r"log, column thumb: expected thumbs .* set --thumbs=UP:DOWN") as caught:
        _coded(values)
    assert "\n" not in str(caught.value)


def test_a_few_words_that_are_all_alike_are_taken_as_they_are():
    found, coding = _coded(["up", "up"])
    assert (found, coding.text) == ([1, 1], "column thumb: up is up, nothing is down")


def test_0_in_a_file_that_knows_no_minus_1_is_ambiguous_beside_one_that_does():
    with pytest.raises(ValueError, match="0 and 1 in one file, -1 as well in another"):
        _coded([1, 0], [1, 0, -1])
    assert _coded([1, -1], [-1, 1])[0] == [1, 0, 0, 1]
    np.testing.assert_array_equal(_coded([1], [0, -1])[0], [1, np.nan, 0])


def test_a_word_without_meaning_beside_others_is_left_out_and_counted():
    found, coding = _coded(["up", "down", "maybe", "maybe"])
    np.testing.assert_array_equal(found, [1, 0, np.nan, np.nan])
    assert coding.unreadable == {"maybe": 2}


def test_each_column_has_a_coding_of_its_own():
    thumbs = Thumbs()
    first, _ = thumbs.read(pa.array([1, 0]), "thumb", "file")
    second, _ = thumbs.read(pa.array(["yes", "no"]), "liked", "file")
    meaning = thumbs.coding(None).meaning
    assert meaning[np.concatenate([first, second])].tolist() == [1, 0, 1, 0]


def test_the_flag_gives_the_coding():
    assert _coded([1, 1], given=parse_thumbs("1:0"))[0] == [1, 1]
    assert _coded([1, 2], given=parse_thumbs("2:1"))[0] == [0, 1]
    np.testing.assert_array_equal(_coded([1, 0, -1], given=parse_thumbs("1:0|-1"))[0], [1, 0, 0])
    found, coding = _coded(["OK", "so-so", "Not OK"], given=parse_thumbs("ok:not ok"))
    np.testing.assert_array_equal(found, [1, np.nan, 0])
    assert coding.unreadable == {"so_so": 1}
    for text in ("", "1", "1:", "a:b:c:d", "a:a", "a|b:B"):
        with pytest.raises(ValueError, match="thumbs: expected UP:DOWN"):
            parse_thumbs(text)


def test_structures_are_no_thumbs_and_free_texts_no_column_of_them():
    codes, bad = Thumbs().read(pa.array([{"a": 1}, None]), "thumb", "file")
    assert (codes.tolist(), bad.tolist()) == ([-1, -1], [True, False])
    assert Thumbs().read(pa.array([datetime.date(2024, 1, 1)]), "thumb", "file")[0].tolist() == [0]
    with pytest.raises(ValueError, match="more than 1,000 different values"):
        Thumbs().read(pa.array([f"text {number}" for number in range(1001)]), "feedback", "file")
