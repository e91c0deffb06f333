"""What all users have in common is learnt from all of them, with caution."""

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.model import prior as population
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.prior import PRIOR_VARIANCE, initial_precision, prior_mean, recentre, second_moments

PLAIN = AnswerFeatures(style=2, llm_state=0, own_columns=0, shown_first=0, population_utility=0, latent_factors=0)
CROWD = AnswerFeatures(style=2, llm_state=0, own_columns=0, shown_first=1, population_utility=1, latent_factors=0)


def m_step(columns, users, unknown, known, population_mean, strength):
    """A step of learning from these users: users as told from the new crowd, the new crowd, the new precision."""
    shift, precision = population.m_step(
        columns, second_moments(columns, users, unknown, known, population_mean), strength
    )
    return recentre(columns, users, shift), population_mean + shift, precision


def _users(columns, number, seed=0):
    """Weights around a crowd, and their covariance."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(columns.size, columns.size)) / 2
    centre = rng.normal(size=columns.size)
    return rng.multivariate_normal(centre, root @ root.T, number).astype(np.float32), centre, root @ root.T


def test_a_stranger_follows_the_crowd_once_and_sees_sides_as_it_does():
    population_mean = jnp.arange(1.0, CROWD.size + 1)
    expected = np.zeros(CROWD.size)
    expected[CROWD.population_index], expected[CROWD.shown_first_index] = 1, population_mean[CROWD.shown_first_index]
    np.testing.assert_array_equal(prior_mean(CROWD, population_mean), expected)
    np.testing.assert_array_equal(prior_mean(PLAIN, population_mean[: PLAIN.size]), population_mean[: PLAIN.size])


def test_mean_and_covariance_of_known_users_are_found():
    users, centre, covariance = _users(PLAIN, 4000)
    nothing = jnp.zeros((4000, PLAIN.size, PLAIN.size))
    population_mean = jnp.zeros(PLAIN.size)
    for _ in range(4):
        _, population_mean, precision = m_step(PLAIN, jnp.asarray(users), nothing, jnp.ones(4000), population_mean, 5.0)
    np.testing.assert_allclose(population_mean, centre, atol=0.05)
    np.testing.assert_allclose(np.linalg.inv(precision), covariance, atol=0.05)


def test_what_is_not_known_of_users_adds_to_how_they_differ():
    users = jnp.zeros((3, PLAIN.size))
    unknown = jnp.tile(jnp.diag(jnp.arange(1.0, PLAIN.size + 1)), (3, 1, 1))
    precision = m_step(PLAIN, users, unknown, jnp.ones(3), jnp.zeros(PLAIN.size), 2.0)[2]
    expected = (3 * np.arange(1.0, PLAIN.size + 1) + 2 * PRIOR_VARIANCE) / 5
    np.testing.assert_allclose(np.diagonal(np.linalg.inv(precision)), expected, rtol=1e-2)


def test_users_of_whom_nothing_is_known_do_not_count():
    users, _, _ = _users(PLAIN, 20)
    known = jnp.asarray(np.arange(20) < 12, jnp.float32)
    unknown = jnp.tile(0.1 * jnp.eye(PLAIN.size), (20, 1, 1))
    population_mean = jnp.zeros(PLAIN.size)
    _, *with_silent = m_step(PLAIN, jnp.asarray(users), unknown, known, population_mean, 5.0)
    _, *without = m_step(PLAIN, jnp.asarray(users[:12]), unknown[:12], jnp.ones(12), population_mean, 5.0)
    for found, expected in zip(with_silent, without, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_of_nobody_nothing_is_learnt():
    population_mean = jnp.arange(1.0, PLAIN.size + 1)
    zeros = jnp.zeros((2, PLAIN.size, PLAIN.size))
    _, same, precision = m_step(PLAIN, jnp.ones((2, PLAIN.size)), zeros, jnp.zeros(2), population_mean, 5.0)
    np.testing.assert_array_equal(same, population_mean)
    covariance = 5 * PRIOR_VARIANCE / 6  # one user's worth of caution beside five of the prior
    np.testing.assert_allclose(np.diagonal(np.linalg.inv(precision)), covariance, rtol=1e-2)
    np.testing.assert_allclose(np.diagonal(initial_precision(PLAIN)), 1 / PRIOR_VARIANCE)


def test_what_moves_to_the_crowd_leaves_the_users_so_that_nobodys_liking_changes():
    """Utility counts the crowd's weights once, by the column of its liking, so they are taken from the user's own."""
    users, _, _ = _users(CROWD, 30)
    users[:, CROWD.population_index] = 1
    population_mean = jnp.zeros(CROWD.size).at[0].set(0.5)
    zeros = jnp.zeros((30, CROWD.size, CROWD.size))
    told, new, _ = m_step(CROWD, jnp.asarray(users), zeros, jnp.ones(30), population_mean, 5.0)

    def whole(theta, population_mean):
        """Weights on the other columns when the crowd's liking is written out; a side is no part of the liking."""
        weights = theta + theta[:, [CROWD.population_index]] * population_mean
        return np.delete(np.asarray(weights), [CROWD.population_index, CROWD.shown_first_index], 1)

    assert np.abs(np.asarray(new - population_mean)).max() > 0.1
    np.testing.assert_allclose(whole(told, new), whole(jnp.asarray(users), population_mean), atol=1e-5)
    np.testing.assert_allclose(told[:, CROWD.shown_first_index], users[:, CROWD.shown_first_index])
    assert new[CROWD.population_index] == pytest.approx(0)
