"""Ranges of ratings and units of latencies, found from all values."""

import numpy as np
import pytest

from prouter_jax.data.logs.ratings import Latencies, Ratings


def _ratings(*parts):
    ratings = Ratings()
    for part in parts:
        ratings.add(np.array(part, float))
    return ratings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], (0, 1)),
        ([0.2, 0.9], (0, 1)),
        ([-1, 1], (-1, 1)),
        ([-0.5, 0.25], (-1, 1)),
        ([1, 3, 5], (1, 5)),
        ([0, 5], (0, 5)),
        ([1.5, 5, 1], (1, 5)),
        ([1, 10], (1, 10)),
        ([0, 50, 100], (0, 100)),
    ],
)
def test_usual_ranges_are_found(values, expected):
    assert _ratings(values, [np.nan]).range(None) == expected
    assert _ratings(*[[value] for value in values]).range(None) == expected
    assert _ratings(values).range((0, 200)) == (0, 200)


@pytest.mark.parametrize("values", [[3], [5, 5], [2, 4], [1, 4], [-3, 3], [0, 1000], [0.5, 0.5]])
def test_other_ranges_are_an_error_that_names_the_flag(values):
    with pytest.raises(ValueError, match=r"log, ratings: expected a range that is usual, found .* set --rating_range"):
        _ratings(values).range(None)
    assert _ratings(values).range((-5, 5)) == (-5, 5)


def test_without_ratings_there_is_no_question():
    assert _ratings([np.nan]).range(None) == (0, 1)


def test_latencies_of_100_and_more_are_milliseconds():
    latencies = Latencies()
    assert latencies.add(np.array([900.0, 50, 1200, 700, np.nan]), "ms") == 0
    assert latencies.add(np.array([0.9, 150, 2]), "s") == 1
    assert latencies.add(np.array([np.nan]), "none") == 2
    assert latencies.add(np.array([0.9]), "ms") == 0
    assert latencies.seconds().tolist() == [1e-3, 1, 1]
    assert latencies.text() == "milliseconds in ms"
