"""What known queries say of a new one: kernel ridge regression, as in plain numpy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from finite_differences import check_gradients

from prouter_jax.data.query_features import make_query_features
from prouter_jax.model.landmarks import choose_landmarks
from prouter_jax.model.query_kernel import (
    Scales,
    coefficients,
    kernel_to,
    make_query_kernel,
    regression_weights,
    solution_matrix,
    solved_coefficients,
)

SCALES, NOISE = Scales(text=1.5, style=0.1, task=0.2), 0.7
NUM_TASKS = 2


def _places(number, seed):
    rng = np.random.default_rng(seed)
    task = rng.integers(-1, NUM_TASKS, number)
    return make_query_features(rng.normal(size=(number, 6)) / 2, rng.normal(size=(number, 3)), task, NUM_TASKS)


def _make(known, landmarks=None):
    chosen = np.arange(len(known.task)) if landmarks is None else landmarks
    return make_query_kernel(known, NUM_TASKS, SCALES, NOISE, chosen)


def _kernel(first, second):
    squares = [
        ((a[:, None] - b[None]) ** 2).sum(-1) for a, b in ((first.vectors, second.vectors), (first.style, second.style))
    ]
    same = (first.task[:, None] == second.task) & (first.task < NUM_TASKS)[:, None]
    return np.exp(-1.5 * squares[0] - 0.1 * squares[1]) * (1 + same) + 0.2 * same


def test_nearness_is_the_kernel_of_texts_style_and_tasks():
    known, new = _places(12, 0), _places(5, 1)
    kernel = _make(known)
    assert (known.task == NUM_TASKS).any()
    np.testing.assert_allclose(kernel_to(kernel, new), _kernel(new, known), atol=1e-5)


@pytest.mark.parametrize("shape", [(12,), (12, 3), (12, 2, 4)])
def test_a_message_is_that_of_kernel_ridge_regression(shape):
    known, new = _places(12, 0), _places(5, 1)
    kernel, told = _make(known), np.random.default_rng(2).normal(size=shape)
    solved = np.linalg.solve(_kernel(known, known) + 0.7 * np.eye(12), told.reshape(12, -1))
    expected = (_kernel(new, known) @ solved).reshape(5, *shape[1:])
    found = np.tensordot(kernel_to(kernel, new), coefficients(kernel, jnp.asarray(told)), 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("landmarks", [None, np.array([0, 3, 4, 7, 9])])
def test_a_solution_that_is_kept_gives_the_same_coefficients(landmarks):
    kernel, told = _make(_places(12, 0), landmarks), np.random.default_rng(2).normal(size=(12, 2, 4))
    found = solved_coefficients(kernel, solution_matrix(kernel), jnp.asarray(told))
    np.testing.assert_allclose(found, coefficients(kernel, jnp.asarray(told)), atol=1e-4)


def test_weights_of_known_queries_predict_as_the_regression_does_and_sum_to_one():
    known, new = _places(12, 0), _places(5, 1)
    kernel, told = _make(known), np.random.default_rng(2).normal(size=12)
    weights = regression_weights(np.asarray(solution_matrix(kernel)), np.asarray(kernel_to(kernel, new)))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    mean = told.mean()
    expected = mean + kernel_to(kernel, new) @ coefficients(kernel, jnp.asarray(told - mean))
    np.testing.assert_allclose(weights @ told, expected, atol=1e-4)


def test_the_order_of_known_queries_does_not_matter():
    known, new = _places(12, 0), _places(5, 1)
    told, order = np.random.default_rng(2).normal(size=12), np.random.default_rng(3).permutation(12)
    first, second = (_make(some) for some in (known, known.take(order)))
    messages = [
        np.asarray(kernel_to(kernel, new) @ coefficients(kernel, jnp.asarray(x)))
        for kernel, x in ((first, told), (second, told[order]))
    ]
    np.testing.assert_allclose(messages[0], messages[1], atol=1e-5)


def _predict(known, landmarks, new, told):
    kernel = _make(known, landmarks)
    return kernel_to(kernel, new) @ coefficients(kernel, told)


@pytest.mark.parametrize("shape", [(30,), (30, 2, 4)])
def test_a_low_rank_message_is_that_of_the_subset_of_regressors(shape):
    known, new, landmarks = _places(30, 0), _places(5, 1), np.array([4, 0, 17, 9])
    told, some = np.random.default_rng(2).normal(size=shape).astype(np.float32), known.take(landmarks)
    to_landmarks = _kernel(known, some)
    solved = np.linalg.solve(
        NOISE * _kernel(some, some) + to_landmarks.T @ to_landmarks, to_landmarks.T @ told.reshape(30, -1)
    )
    expected = (_kernel(new, some) @ solved).reshape(5, *shape[1:])
    found = np.tensordot(kernel_to(_make(known, landmarks), new), coefficients(_make(known, landmarks), told), 1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_more_landmarks_the_nearer_the_message_is_to_the_exact_one():
    known, new = (
        dataclasses.replace(some, vectors=some.vectors / 2, style=some.style / 2)
        for some in (_places(200, 0), _places(50, 1))
    )
    told = np.random.default_rng(2).normal(size=200).astype(np.float32)
    exact, errors = _predict(known, None, new, told), []
    for most in (20, 100, 180):
        landmarks = choose_landmarks(known, NUM_TASKS, SCALES, most)
        errors.append(np.square(_predict(known, landmarks, new, told) - exact).mean() / np.square(exact).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_with_all_queries_as_landmarks_the_low_rank_message_is_the_exact_one():
    known, new, told = _places(200, 0), _places(50, 1), np.random.default_rng(2).normal(size=200).astype(np.float32)
    everything = np.append(np.arange(200), 0)  # one more than there are queries, so that the regression is of low rank
    assert _make(known).low_rank is None
    assert _make(known, everything).low_rank is not None
    np.testing.assert_allclose(_predict(known, everything, new, told), _predict(known, None, new, told), atol=1e-3)


def test_a_landmark_that_comes_twice_changes_nothing():
    """The matrix of its kernel is singular then."""
    known, new, told = _places(200, 0), _places(20, 1), np.random.default_rng(2).normal(size=200).astype(np.float32)
    once, twice = np.arange(20), np.append(np.repeat(np.arange(20), 5), 0)
    np.testing.assert_allclose(_predict(known, twice, new, told), _predict(known, once, new, told), atol=2e-3)


@pytest.mark.parametrize("landmarks", [12, 5])
def test_predictions_are_differentiable_in_scales_noise_and_text_vectors(landmarks):
    known, new, told = _places(12, 0), _places(5, 1), np.random.default_rng(2).normal(size=(12, 3)).astype(np.float32)

    def predict(scales, noise, vectors):
        kernel = make_query_kernel(
            dataclasses.replace(known, vectors=vectors), NUM_TASKS, scales, noise, np.arange(landmarks)
        )
        return kernel_to(kernel, new) @ coefficients(kernel, told)

    check_gradients(predict, Scales(*SCALES), NOISE, known.vectors)
