"""Where queries stand: rows can be taken and padded, and a query without a task belongs to none."""

import numpy as np

from prouter_jax.places import places_of


def _places():
    rng = np.random.default_rng(0)
    return places_of(rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), np.array([0, -1, 1, -1]), 2)


def test_a_query_without_a_task_belongs_to_none():
    places = _places()
    assert places.task.tolist() == [0, 2, 1, 2]
    assert [x.dtype for x in (places.vectors, places.style, places.task)] == [np.float32, np.float32, np.int32]


def test_rows_are_taken_together():
    places = _places()
    some = places.take(np.array([2, 0]))
    np.testing.assert_array_equal(some.vectors, places.vectors[[2, 0]])
    np.testing.assert_array_equal(some.style, places.style[[2, 0]])
    assert some.task.tolist() == [1, 0]


def test_padding_adds_zeros_at_the_end():
    places = _places()
    padded = places.padded(6)
    assert (padded.vectors.shape, padded.style.shape, padded.task.shape) == ((6, 3), (6, 2), (6,))
    np.testing.assert_array_equal(padded.take(slice(4)).vectors, places.vectors)
    assert not padded.vectors[4:].any()
    assert not padded.style[4:].any()
