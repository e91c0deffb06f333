"""Where queries stand: rows can be taken and padded, and a query without a task belongs to none."""

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.data.query_features import in_parts, make_query_features


def _places(number=4):
    rng = np.random.default_rng(0)
    return make_query_features(rng.normal(size=(number, 3)), rng.normal(size=(number, 2)), np.arange(number) % 3 - 1, 2)


def test_a_query_without_a_task_belongs_to_none():
    places = _places()
    assert places.task.tolist() == [2, 0, 1, 2]
    assert [x.dtype for x in (places.vectors, places.style, places.task)] == [np.float32, np.float32, np.int32]


def test_rows_are_taken_together():
    places = _places()
    some = places.take(np.array([2, 0]))
    np.testing.assert_array_equal(some.vectors, places.vectors[[2, 0]])
    np.testing.assert_array_equal(some.style, places.style[[2, 0]])
    assert some.task.tolist() == [1, 2]


def test_padding_adds_zeros_at_the_end():
    places = _places()
    padded = places.padded(6)
    assert (padded.vectors.shape, padded.style.shape, padded.task.shape) == ((6, 3), (6, 2), (6,))
    np.testing.assert_array_equal(padded.take(slice(4)).vectors, places.vectors)
    assert not padded.vectors[4:].any()
    assert not padded.style[4:].any()


def test_each_of_several_results_is_concatenated():
    places = _places(300)
    vectors, (task,) = in_parts(lambda some: (some.vectors, (some.task,)), places)
    np.testing.assert_array_equal(vectors, places.vectors)
    np.testing.assert_array_equal(task, places.task)


def test_company_changes_no_bit_and_two_shapes_are_compiled():
    places, weights = _places(1000), jax.random.normal(jax.random.key(0), (3, 50))
    function = jax.jit(lambda some: jnp.exp(some.vectors @ weights) + some.task[:, None])
    many, few = in_parts(function, places), np.concatenate([in_parts(function, places.take([row])) for row in range(9)])
    for together in (many, few):
        np.testing.assert_allclose(together, function(places)[: len(together)], rtol=1e-5)
    rng = np.random.default_rng(1)
    compiled = function._cache_size()
    for number in (5, 17, 127, 128, 129, 400):
        rows = rng.choice(1000, number, replace=False)
        np.testing.assert_array_equal(in_parts(function, places.take(rows)), many[rows])
    for number in (1, 2, 4):
        rows = rng.choice(9, number, replace=False)
        np.testing.assert_array_equal(in_parts(function, places.take(rows)), few[rows])
    assert function._cache_size() == compiled
