import numpy as np

from prouter_jax.training.gate import verdict


def test_a_clear_fall_is_accepted_and_noise_is_not():
    random = np.random.default_rng(0)
    choices, before = np.full(50, 10.0), np.full(50, 20.0)
    better = before - choices * (0.02 + 0.01 * random.normal(size=50))
    noise = before - choices * 0.05 * random.normal(size=50)
    assert verdict(before, better, choices).accepted
    assert not verdict(before, noise, choices).accepted
    assert not verdict(better, before, choices).accepted


def test_a_user_counts_once_whatever_the_number_of_choices():
    before, after, choices = np.array([100.0, 1.0, 0.0]), np.array([90.0, 0.8, 0.0]), np.array([100.0, 1.0, 0.0])
    found = verdict(before, after, choices)
    np.testing.assert_allclose(found.improvement, (0.1 + 0.2) / 2)
    assert found.users == 2


def test_one_user_decides_nothing():
    assert not verdict(np.array([2.0]), np.array([1.0]), np.array([1.0])).accepted
