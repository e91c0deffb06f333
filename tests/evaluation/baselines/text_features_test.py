"""Kernel features and principal components against their definitions."""

import numpy as np

from prouter_jax.evaluation.baselines import text_features


def test_kernel_features_give_the_kernel_back():
    rng = np.random.default_rng(0)
    vectors, seen = rng.normal(size=(30, 6)), np.arange(30) < 20
    features = text_features.kernel_features(vectors, seen, width=0.8, landmarks=50)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = np.exp((unit @ unit.T - 1) / 0.8**2)
    np.testing.assert_allclose(features[seen] @ features.T, kernel[seen], atol=1e-4)
    assert text_features.kernel_features(vectors, seen, 0.8, landmarks=5).shape == (30, 5)


def test_principal_components_are_those_of_the_seen_rows():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 3)) * [1, 10, 5]
    seen = np.arange(200) < 150
    found = text_features.principal_components(vectors, seen, 2)
    np.testing.assert_allclose(found[seen].std(0), 1, atol=0.01)
    assert abs(np.corrcoef(found[seen, 0], vectors[seen, 1])[0, 1]) > 0.98
    far = np.where(seen[:, None], vectors, 1e3)
    np.testing.assert_allclose(
        text_features.principal_components(far, seen, 2)[seen], found[seen], rtol=1e-4, atol=1e-4
    )
