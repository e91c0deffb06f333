"""Features of texts against their definitions."""

import numpy as np
from policy_cases import small_world

from prouter_jax.evaluation.baselines import features as texts


def test_kernel_features_give_the_kernel_back():
    rng = np.random.default_rng(0)
    vectors, seen = rng.normal(size=(30, 6)), np.arange(30) < 20
    features = texts.kernel_features(vectors, seen, width=0.8, landmarks=50)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = np.exp((unit @ unit.T - 1) / 0.8**2)
    np.testing.assert_allclose(features[seen] @ features.T, kernel[seen], atol=1e-4)
    assert texts.kernel_features(vectors, seen, 0.8, landmarks=5).shape == (30, 5)


def test_principal_components_are_those_of_the_seen_rows():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 3)) * [1, 10, 5]
    seen = np.arange(200) < 150
    found = texts.principal_components(vectors, seen, 2)
    np.testing.assert_allclose(found[seen].std(0), 1, atol=0.01)
    assert abs(np.corrcoef(found[seen, 0], vectors[seen, 1])[0, 1]) > 0.98
    far = np.where(seen[:, None], vectors, 1e3)
    np.testing.assert_allclose(texts.principal_components(far, seen, 2)[seen], found[seen], rtol=1e-4, atol=1e-4)


def test_nearest_queries_are_others_and_their_weights_sum_to_one():
    dataset = small_world()
    asked, seen = np.arange(10), np.arange(5, 60)
    near = texts.nearest(dataset, asked, seen, 7, sharpness=5.0, task_bonus=0.0).toarray()
    np.testing.assert_allclose(near.sum(1), 1)
    assert not near[asked, asked].any()
    assert not near[:, :5].any()
    assert not near[:, 60:].any()
    unit = texts.unit_vectors(dataset.vectors.query)
    for row in asked:
        others = seen[seen != row]
        close = others[np.argsort(-(unit[others] @ unit[row]))]
        cut = (unit[close[6]] @ unit[row]).item()
        assert ((unit[np.flatnonzero(near[row])] @ unit[row]) >= cut - 1e-6).all()


def test_a_bonus_brings_queries_of_the_same_task_near():
    dataset = small_world()
    task = dataset.data.queries.task
    near = texts.nearest(dataset, np.arange(100), np.arange(100), 5, sharpness=5.0, task_bonus=9.0).tocoo()
    np.testing.assert_array_equal(task[near.row], task[near.col])


def test_fewer_seen_queries_than_neighbours_are_all_used():
    near = texts.nearest(small_world(), np.arange(4), np.array([50, 51]), 30, 5.0, 0.0)
    assert near.toarray()[:, [50, 51]].all()
