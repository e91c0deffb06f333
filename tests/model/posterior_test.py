"""What a history says of its user: the most probable weights, with caution, alone or with others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from em_cases import NAN, chosen, on_offer, said_by
from finite_differences import check_gradients

from prouter_jax.model.likelihood import (
    Population,
    choice_probabilities,
    log_choice_probabilities,
    negative_log_likelihood,
    residuals,
    utilities,
)
from prouter_jax.model.posterior import differentiable_mode, posterior_covariance, posterior_mode

SIZE, DECISIONS, CANDIDATES = 5, 30, 4


def _population(sharpness=1.0, certainty=4.0, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(SIZE, SIZE))
    precision = root @ root.T / SIZE + np.eye(SIZE)
    numbers = (rng.normal(size=SIZE), precision, sharpness, certainty, 0.7)
    return Population(*[jnp.asarray(x, jnp.float32) for x in numbers])


def _history(kind, seed=0, truth_scale=1.5):
    """Answers, and what a user said of them: choices, ratings, thumbs, or each of these on a third of them."""
    rng = np.random.default_rng(seed)
    answers = rng.normal(size=(DECISIONS, CANDIDATES, SIZE)).astype(np.float32)
    offered = on_offer(DECISIONS, CANDIDATES, 3, rng)
    utility = answers @ (truth_scale * rng.normal(size=SIZE))
    target = chosen(utility, offered, rng)
    rating = np.where(offered, utility + 0.5 * rng.normal(size=utility.shape), NAN)
    alone = {"choices": 0, "ratings": 1, "thumbs": 2}.get(kind)
    turn = (np.arange(DECISIONS) % 3 if alone is None else np.full(DECISIONS, alone))[:, None]
    thumb = np.where(offered, rng.random(utility.shape) < 1 / (1 + np.exp(0.7 - utility)), NAN)
    rating, thumb = (
        np.where(turn == place, values, NAN) if alone in (None, place) else None
        for place, values in ((1, rating), (2, thumb))
    )
    return jnp.asarray(answers), said_by(offered, target * (turn == 0), rating, thumb)


def _minus_log_posterior(theta, answers, feedback, population):
    """In plain numpy, 64 bits."""
    answers, offered, target = (np.asarray(x, float) for x in (answers, feedback.offered, feedback.target))
    mean, precision = np.asarray(population.mean, float), np.asarray(population.precision, float)
    utility = answers @ theta
    logits = np.where(offered > 0, float(population.sharpness) * utility, -np.inf)
    log_share = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    total = -(target * np.where(offered > 0, log_share, 0)).sum() + 0.5 * (theta - mean) @ precision @ (theta - mean)
    if feedback.rated is not None:
        error = np.asarray(feedback.rated) * (np.asarray(feedback.rating) - utility) ** 2
        total += 0.5 * float(population.rating_precision) * error.sum()
    if feedback.thumbed is not None:
        towards = np.where(np.asarray(feedback.thumb) > 0, 1, -1) * float(population.sharpness) * (utility - 0.7)
        total += (np.asarray(feedback.thumbed) * np.logaddexp(0, -towards)).sum()
    return total


@pytest.mark.parametrize("kind", ["choices", "ratings", "thumbs", "all"])
@pytest.mark.parametrize("sharpness", [1.0, 3.0])
def test_newton_steps_end_at_the_most_probable_weights(kind, sharpness):
    population, (answers, feedback) = _population(sharpness), _history(kind)
    found = np.asarray(posterior_mode(population.mean, answers, feedback, population, 30), float)
    best = scipy.optimize.minimize(_minus_log_posterior, np.zeros(SIZE), (answers, feedback, population), tol=1e-10).x
    np.testing.assert_allclose(found, best, atol=2e-3)
    assert np.abs(best - population.mean).max() > 0.1


@pytest.mark.parametrize("start", [0.0, 10.0, -30.0])
def test_where_it_starts_does_not_matter(start):
    population, (answers, feedback) = _population(), _history("choices")
    far = posterior_mode(jnp.full(SIZE, start), answers, feedback, population, 60)
    np.testing.assert_allclose(far, posterior_mode(population.mean, answers, feedback, population, 30), atol=2e-3)


def test_users_who_share_answers_are_read_as_each_would_be():
    population, answers = _population(), _history("all")[0]
    histories = [_history("all", seed)[1] for seed in range(3)]
    together = jax.tree.map(lambda *x: jnp.stack(x, -1), *histories)
    start = jnp.stack([population.mean, jnp.zeros(SIZE), jnp.ones(SIZE)], -1)
    found = posterior_mode(start, answers, together, population, 4)
    known = posterior_covariance(found, answers, together, population)
    told = negative_log_likelihood(utilities(found, answers), together, population)
    for user, feedback in enumerate(histories):
        alone = posterior_mode(start[:, user], answers, feedback, population, 4)
        np.testing.assert_allclose(found[:, user], alone, atol=1e-4)
        np.testing.assert_allclose(known[user], posterior_covariance(alone, answers, feedback, population), atol=1e-4)
        for name, value in negative_log_likelihood(utilities(alone, answers), feedback, population).items():
            assert told[name][user] == pytest.approx(float(value), rel=1e-3), name


@pytest.mark.parametrize("kind", ["choices", "all"])
def test_somebody_who_said_nothing_is_the_mean_and_as_unknown_as_anybody(kind):
    population, (answers, feedback) = _population(), _history(kind)
    silent = jax.tree.map(jnp.zeros_like, feedback)
    np.testing.assert_allclose(
        posterior_mode(population.mean, answers, silent, population, 3), population.mean, atol=1e-6
    )
    unknown = posterior_covariance(population.mean, answers, silent, population)
    np.testing.assert_allclose(unknown, np.linalg.inv(population.precision), rtol=1e-3, atol=1e-5)


def test_the_more_was_said_the_less_is_unknown():
    population, (answers, feedback) = _population(), _history("choices")
    sizes = [0, 5, 15, 30]
    left = []
    for size in sizes:
        some = jax.tree.map(lambda x, size=size: x * (np.arange(DECISIONS) < size)[:, None], feedback)
        left.append(float(jnp.trace(posterior_covariance(population.mean, answers, some, population))))
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.7 * left[0]


@pytest.mark.parametrize("kind", ["choices", "all"])
@pytest.mark.parametrize("users", [None, 3], ids=["one user", "users who share queries"])
def test_gradients_through_newton_steps_and_covariance(kind, users):
    population, (answers, feedback) = _population(), _history(kind)
    start = population.mean
    if users:
        feedback = jax.tree.map(lambda *x: jnp.stack(x, -1), *[_history(kind, seed)[1] for seed in range(users)])
        start = jnp.stack([start] * users, -1)

    def mode_and_covariance(start, answers, population):
        mode = posterior_mode(start, answers, feedback, population, 3)
        return mode, posterior_covariance(mode, answers, feedback, population)

    check_gradients(mode_and_covariance, start, answers, population, modes=["rev"])


@pytest.mark.parametrize("kind", ["choices", "all"])
def test_the_implicit_gradient_is_that_of_finite_differences(kind):
    population, (answers, feedback) = _population(), _history(kind)

    def mode(answers, population):
        return differentiable_mode(population.mean, answers, feedback, population, 40)

    check_gradients(mode, answers, population, modes=["rev"])


def test_the_differentiable_mode_is_the_mode():
    population, (answers, feedback) = _population(), _history("all")
    found, expected = (
        function(population.mean, answers, feedback, population, 12)
        for function in (differentiable_mode, posterior_mode)
    )
    np.testing.assert_array_equal(found, expected)


def test_surprise_is_the_slope_and_weight_the_curvature_of_what_was_said():
    population, (answers, feedback) = _population(2.0), _history("all")
    utility = utilities(jnp.ones(SIZE) * 0.3, answers)
    residual, weight = residuals(utility, feedback, population)

    def log_likelihood(utility):
        told = negative_log_likelihood(utility, feedback, population)
        return -told["choice"] - 0.5 * population.rating_precision * told["rating"] - told["thumb"]

    np.testing.assert_allclose(residual, jax.grad(log_likelihood)(utility), atol=1e-4)
    hessian = jax.hessian(log_likelihood)(utility).reshape(utility.size, utility.size)
    np.testing.assert_allclose(-np.diagonal(hessian).reshape(utility.shape), weight, atol=1e-3)


@pytest.mark.parametrize("kind", ["choices", "ratings", "thumbs", "all"])
def test_gradients_of_the_likelihood_are_those_of_finite_differences(kind):
    population, (answers, feedback) = _population(2.0), _history(kind)

    def losses(theta, answers, population):
        utility = utilities(theta, answers)
        return negative_log_likelihood(utility, feedback, population), residuals(utility, feedback, population)

    check_gradients(losses, jnp.ones(SIZE) * 0.3, answers, population)


def test_the_bar_moves_by_the_slope_of_the_thumbs_and_never_too_far():
    population, (answers, feedback) = _population(2.0), _history("thumbs")
    utility = utilities(jnp.ones(SIZE) * 0.3, answers)

    def told(threshold):
        return negative_log_likelihood(utility, feedback, dataclasses.replace(population, threshold=threshold))["thumb"]

    found = negative_log_likelihood(utility, feedback, population)
    assert found["thumbs"] == feedback.thumbed.sum() > 50
    assert found["threshold_gradient"] == pytest.approx(-float(jax.grad(told)(population.threshold)), rel=1e-4)
    assert found["threshold_curvature"] >= float(jax.hessian(told)(population.threshold)) > 0
    moved = population.threshold + found["threshold_gradient"] / found["threshold_curvature"]
    assert told(moved) < told(population.threshold)


def test_nothing_is_asked_of_who_is_not_on_offer():
    logits, offered = jnp.array([[1.0, 50.0, 2.0]]), jnp.array([[1.0, 0.0, 1.0]])
    shares = np.asarray(choice_probabilities(logits, offered))[0]
    assert shares[1] == 0
    assert shares[2] / shares[0] == pytest.approx(np.e, rel=1e-5)
    np.testing.assert_allclose(np.exp(log_choice_probabilities(logits, offered))[0, [0, 2]], shares[[0, 2]], rtol=1e-5)
    assert not choice_probabilities(logits, jnp.zeros((1, 3))).any()


def test_candidates_that_nobody_rated_move_no_user():
    """Of a log one candidate's answer is rated: it is read as if the others had not been there."""
    rng = np.random.default_rng(0)
    population, (answers, _) = _population(), _history("ratings")
    served = np.eye(CANDIDATES, dtype=bool)[rng.integers(0, CANDIDATES, DECISIONS)]
    rating, nothing = np.where(served, rng.random(served.shape), NAN), np.zeros(served.shape)
    all_offered, alone = (
        posterior_mode(population.mean, answers, said_by(offered, nothing, rating), population, 12)
        for offered in (np.ones_like(served), served)
    )
    np.testing.assert_array_equal(all_offered, alone)
    assert np.abs(alone - population.mean).max() > 0.1
