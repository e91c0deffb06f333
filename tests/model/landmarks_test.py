"""Landmarks: queries that cover the known ones."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.query_features import make_query_features
from prouter_jax.model import landmarks as landmarks_module
from prouter_jax.model.landmarks import choose_landmarks
from prouter_jax.model.query_kernel import Scales, kernel_values

SCALES, NUM_TASKS = Scales(1.5, 0.1, 0.2), 2


def _places(number, seed=0):
    rng = np.random.default_rng(seed)
    task = rng.integers(-1, NUM_TASKS, number)
    return make_query_features(rng.normal(size=(number, 6)) / 2, rng.normal(size=(number, 3)), task, NUM_TASKS)


def _kernel(first, second):
    return np.asarray(kernel_values(first, second, SCALES, NUM_TASKS), np.float64)


def _residuals(places, rows):
    """Variance of each query's value given those of the landmarks."""
    to_landmarks = _kernel(places, places.take(rows))
    explained = np.einsum("qm,mq->q", to_landmarks, np.linalg.solve(to_landmarks[rows], to_landmarks.T))
    return np.diag(_kernel(places, places)) - explained


def test_few_queries_are_all_landmarks():
    assert choose_landmarks(_places(30), NUM_TASKS, SCALES, 30).tolist() == list(range(30))


def test_each_next_landmark_is_the_query_that_is_most_uncertain():
    places = _places(60)
    rows = choose_landmarks(places, NUM_TASKS, SCALES, 10)
    assert len(set(rows)) == 10
    for number in range(1, 10):
        residuals = _residuals(places, rows[:number])
        assert residuals[rows[number]] == pytest.approx(residuals.max(), abs=1e-4)


def test_landmarks_are_chosen_again_alike_and_cover_more_than_random_ones():
    places = _places(300)
    rows = choose_landmarks(places, NUM_TASKS, SCALES, 40)
    np.testing.assert_array_equal(choose_landmarks(places, NUM_TASKS, SCALES, 40), rows)
    drawn = [np.random.default_rng(seed).choice(300, 40, replace=False) for seed in range(5)]
    assert _residuals(places, rows).max() < min(_residuals(places, some).max() for some in drawn)


def test_copies_of_a_query_are_no_landmarks():
    places = _places(20).take(np.repeat(np.arange(20), 10))
    rows = choose_landmarks(places, NUM_TASKS, SCALES, 50)
    assert sorted(rows // 10) == list(range(20))


def test_where_only_tasks_count_there_is_a_landmark_for_each():
    places = dataclasses.replace(_places(100), vectors=np.zeros((100, 6)), style=np.zeros((100, 3)))
    rows = choose_landmarks(places, NUM_TASKS, SCALES, 50)
    assert sorted(places.task[rows]) == [0, 1, 2]


def test_of_very_many_queries_some_are_candidates(monkeypatch):
    monkeypatch.setattr(landmarks_module, "_MOST_CANDIDATES", 50)
    places = _places(300)
    rows = choose_landmarks(places, NUM_TASKS, SCALES, 20)
    candidates = np.sort(np.random.default_rng(0).permutation(300)[:50])
    assert set(rows) <= set(candidates)
    np.testing.assert_array_equal(rows, candidates[choose_landmarks(places.take(candidates), NUM_TASKS, SCALES, 20)])


def test_very_many_landmarks_are_drawn(monkeypatch):
    monkeypatch.setattr(landmarks_module, "_MOST_PIVOTS", 10)
    rows = choose_landmarks(_places(300), NUM_TASKS, SCALES, 20)
    assert len(set(rows)) == 20
    assert (np.diff(rows) > 0).all()
