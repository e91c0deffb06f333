"""Reading a history is finding the most probable weights; held against plain numpy and scipy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from prouter_jax.reader import (
    NUM_FIXED,
    HistoryReader,
    Said,
    choice_probabilities,
    log_choice_probabilities,
    utilities,
)

TASTES = 2
SIZE = NUM_FIXED + TASTES


def _reader(sharpness=10.0, noise=0.1, seed=0):
    """A reader whose prior is nothing special."""
    rng = np.random.default_rng(seed)
    reader = HistoryReader(TASTES)
    reader.mean[...] = jnp.asarray(rng.normal(0, 0.5, SIZE), jnp.float32)
    reader.log_precision[...] = jnp.asarray(np.log(rng.uniform(1, 10, SIZE)), jnp.float32)
    reader.log_sharpness[...], reader.log_noise[...] = jnp.log(sharpness), jnp.log(noise)
    return reader


def _history(decisions=30, candidates=4, seed=0, rated_share=0.0, spread=1.0):
    """Answers, feedback with ties, small offers and some ratings, and the weights behind it."""
    rng = np.random.default_rng(seed)
    answers = rng.uniform(-1, 1, (decisions, candidates, SIZE)).astype(np.float32)
    answers[..., 2] = 1
    truth = rng.normal(0, spread, SIZE).astype(np.float32)
    offered = rng.random((decisions, candidates)) < 0.8
    offered[:, :2] = True
    utility = answers @ truth
    pleasure = np.where(offered, 10 * utility + rng.gumbel(size=utility.shape), -np.inf)
    target = np.eye(candidates)[pleasure.argmax(1)]
    target[0] = [0.5, 0.5, 0, 0]
    rates = rng.random(decisions) < rated_share
    target[rates] = 0
    rated = (offered & rates[:, None]).astype(np.float32)
    rating = rated * (utility + 0.1 * rng.normal(size=utility.shape))
    floats = [np.asarray(x, np.float32) for x in (offered, target, rating, rated)]
    return answers, Said(*floats) if rated_share else Said(*floats[:2], None, None), truth


def _log_posterior(reader, answers, said, theta):
    """In float64 numpy, up to a constant."""
    sharpness, noise = np.exp(np.float64(reader.log_sharpness[...])), np.exp(np.float64(reader.log_noise[...]))
    utility = answers.astype(np.float64) @ theta
    logits = np.where(said.offered > 0, sharpness * utility, -np.inf)
    top = logits.max(1, keepdims=True)
    shares = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    total = (said.target * np.where(said.offered > 0, shares, 0)).sum()
    if said.rated is not None:
        total -= (said.rated * (said.rating - utility) ** 2).sum() / (2 * noise**2)
    precision = np.exp(np.asarray(reader.log_precision[...], np.float64))
    return total - 0.5 * (precision * (theta - np.asarray(reader.mean[...], np.float64)) ** 2).sum()


def _most_probable(reader, answers, said):
    def cost(theta):
        return -_log_posterior(reader, answers, said, theta)

    return optimize.minimize(cost, np.asarray(reader.mean[...], np.float64), tol=1e-10).x


@functools.partial(jax.jit, static_argnums=4)
def _read(reader, answers, said, steps, learning=False):
    return reader.read(reader.mean[...], answers, said, steps, learning)


@pytest.mark.parametrize("rated_share", [0.0, 0.5])
def test_reading_finds_the_most_probable_weights(rated_share):
    reader = _reader()
    for seed in range(3):
        answers, said, _ = _history(seed=seed, rated_share=rated_share)
        expected = _most_probable(reader, answers, said)
        assert np.abs(expected - reader.mean[...]).max() > 0.1
        for learning in (False, True):
            np.testing.assert_allclose(_read(reader, answers, said, 40, learning), expected, atol=2e-3)


@pytest.mark.parametrize(("sharpness", "spread"), [(10, 1), (30, 2)])
def test_no_step_loses_probability(sharpness, spread):
    for seed in range(5):
        reader = _reader(sharpness, seed=seed)
        answers, said, _ = _history(seed=seed, spread=spread)
        path = [np.asarray(reader.mean[...]), *(_read(reader, answers, said, steps) for steps in (1, 2, 3, 4, 6))]
        heights = np.array([_log_posterior(reader, answers, said, np.asarray(x, np.float64)) for x in path])
        assert np.isfinite(heights).all()
        assert (np.diff(heights) > -1e-2).all(), heights
        assert heights[-1] > heights[0] + 1


def test_ratings_give_the_true_weights():
    answers, said, truth = _history(decisions=200, rated_share=1.0)
    np.testing.assert_allclose(_read(_reader(), answers, said, 3), truth, atol=0.1)


def test_without_observations_a_user_is_exactly_the_mean_and_each_one_moves_it_further():
    reader = _reader()
    answers, said, truth = _history(decisions=100, seed=1)
    moved = []
    for shown in (0, 1, 5, 100):
        mask = np.where(np.arange(100) < shown, 1, 0).astype(np.float32)[:, None]
        theta = _read(reader, answers, jax.tree.map(lambda x, mask=mask: x * mask, said), 6)
        moved.append(np.linalg.norm(theta - reader.mean[...]))
    assert moved[0] == 0
    assert moved[0] < moved[1] < moved[3]
    assert moved[1] < 0.5 * moved[3]
    centred = (np.arange(SIZE) != 2) * (np.asarray(theta) - truth)  # a choice says nothing on the constant
    assert np.abs(centred).max() < 0.3


def test_users_who_share_their_queries_are_read_as_each_alone():
    reader, rng = _reader(), np.random.default_rng(0)
    answers, _, _ = _history(rated_share=0.5)
    said = [_history(seed=seed, rated_share=0.5)[1] for seed in range(3)]
    theta = rng.normal(0, 0.3, (SIZE, 3)).astype(np.float32)
    together = jax.jit(
        lambda: reader.read(theta, answers, jax.tree.map(lambda *x: jnp.stack(x, -1), *said), 3, False)
    )()
    for user, alone in enumerate(said):
        expected = jax.jit(lambda alone=alone, user=user: reader.read(theta[:, user], answers, alone, 3, False))()
        np.testing.assert_allclose(together[:, user], expected, atol=1e-4)


def test_the_last_step_carries_the_derivative_of_the_most_probable_weights():
    reader = _reader()
    answers, said, _ = _history(rated_share=0.3)
    jacobian = jax.jit(jax.jacobian(lambda x: reader.read(reader.mean[...], x, said, 12, True)))(answers)
    direction = np.random.default_rng(1).normal(size=answers.shape).astype(np.float32)
    moved = [_most_probable(reader, answers + sign * 1e-3 * direction, said) for sign in (1, -1)]
    found = np.einsum("pdca,dca->p", jacobian, direction)
    np.testing.assert_allclose(found, (moved[0] - moved[1]) / 2e-3, rtol=0.1, atol=0.02)


def test_tastes_of_llms_that_users_were_surprised_by_move_towards_those_users():
    reader = _reader()
    theta = np.zeros((2, SIZE), np.float32)
    theta[:, NUM_FIXED:] = [[1, 0], [0, 1]]
    surprise = np.array([[3.0, 0.0], [-1.0, 0.0]], np.float32)
    weight = np.array([[2.0, 0.0], [4.0, 0.0]], np.float32)
    tastes = np.asarray(reader.taste_step(jnp.zeros((2, TASTES)), theta, surprise, weight))
    prior = np.exp(reader.log_taste_precision[...])
    np.testing.assert_allclose(tastes, [[3 / (2 + prior), -1 / (4 + prior)], [0, 0]], rtol=1e-5)


def test_shares_are_a_softmax_over_what_is_on_offer():
    answers, said, truth = _history(decisions=5)
    offered = said.offered.copy()
    offered[-1] = 0
    utility = 1e3 * utilities(truth, answers)  # far from rounding to anything safe
    shares = np.asarray(choice_probabilities(utility, offered))
    assert not shares[offered == 0].any()
    np.testing.assert_allclose(shares.sum(1), [1, 1, 1, 1, 0], atol=1e-5)
    shares, logs = (np.asarray(f(utility / 1e3, offered)) for f in (choice_probabilities, log_choice_probabilities))
    np.testing.assert_allclose(np.exp(logs)[offered > 0], shares[offered > 0], rtol=1e-4)
    assert not logs[offered == 0].any()
