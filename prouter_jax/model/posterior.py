"""Posterior of one user's weights given the user's feedback: mode by damped Newton steps, covariance by Laplace.

The prior of the weights is theta ~ Normal(mean, precision^-1); `likelihood` has the likelihood of feedback. The
posterior has no closed form, so it is approximated by a Gaussian at its mode (Laplace's approximation):

    gradient    g = sum of a * residual - precision (theta - mean)
    curvature   H = sum of (negative second derivative of the log-likelihood in theta) + precision
    mode        theta' = theta + scale * H^-1 g      repeated; scale <= 1 limits the change of the logits
    covariance  H^-1 at the mode

where a are an answer's features and the sums run over decisions and their candidates. The curvature of a choice is
sharpness^2 times the covariance of a under the predicted choice probabilities. In graph terms the summands of g and H
are messages along the history edges. A user without feedback keeps the prior.

Arrays are those of one user, or have a last axis of users who share their queries: then the sums are matrix products.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prouter_jax.graph.history import HistoryFeedback
from prouter_jax.model.batched_cholesky import inverse, solve
from prouter_jax.model.feature_moments import centred_moment
from prouter_jax.model.likelihood import (
    Population,
    predicted_choices,
    residuals,
    thumb_up_probability,
    utilities,
)
from prouter_jax.model.llm_states import StateColumns

_UNIFORM_WEIGHT = 0.05  # of a uniform prediction in the curvature, which else vanishes where predictions are certain
_MAX_LOGIT_CHANGE = 3.0  # of a Newton step, root mean square over candidates: longer steps overshoot


def posterior_mode(
    theta: Float[Array, " features *users"],
    answers: Float[Array, "decisions candidates features"],
    feedback: HistoryFeedback,
    population: Population,
    steps: int,
    states: StateColumns | None = None,
) -> Float[Array, " features *users"]:
    """Moves weights towards the posterior mode by damped Newton steps.

    Args:
      theta: the weights to start from.
      answers: features of the candidates' answers.
      steps: the number of Newton steps.
      states: as for `feature_moments.centred_moment`.
    """

    def fixed(theta):
        return utilities(theta, answers), answers

    return linearised_mode(theta, fixed, feedback, population, steps, states)


def linearised_mode(
    theta: Float[Array, " features *users"],
    linearise: Callable[[Array], tuple[Array, Array]],
    feedback: HistoryFeedback,
    population: Population,
    steps: int,
    states: StateColumns | None = None,
    tolerance: float | None = None,
) -> Float[Array, " features *users"]:
    """As `posterior_mode`, where utilities need not be linear in theta.

    Args:
      linearise: function from theta to utilities and their derivatives in theta, which take the place of the features
        of answers.
      tolerance: the steps end where none moves a weight by more; not differentiable then. None for all steps.
    """

    @jax.checkpoint  # the backward pass keeps only the weights of each step
    def newton_step(theta):
        return _newton_step(theta, *linearise(theta), feedback, population, states)

    if tolerance is None:
        return jax.lax.fori_loop(0, steps, lambda _, theta: newton_step(theta), theta)

    def another(state):
        step, _, moved = state
        return (step < steps) & (moved > tolerance)

    def take(state):
        step, theta, _ = state
        found = newton_step(theta)
        return step + 1, found, jnp.abs(found - theta).max()

    return jax.lax.while_loop(another, take, (0, theta, jnp.asarray(jnp.inf, theta.dtype)))[1]


def differentiable_mode(
    theta: Float[Array, " features *users"],
    answers: Float[Array, "decisions candidates features"],
    feedback: HistoryFeedback,
    population: Population,
    steps: int,
) -> Float[Array, " features *users"]:
    """Returns the posterior mode, with its gradient in the answers and the population by the implicit function theorem.

    At the mode the gradient g of the log-posterior is 0, so the mode's derivative is H^-1 times that of g, with H the
    curvature there. So nothing of the steps to the mode is kept for the backward pass.

    Args:
      theta, answers, feedback, population: as for `posterior_mode`; no gradient reaches `theta`.
      steps: the number of Newton steps, enough to arrive at the mode.
    """
    fixed = jax.lax.stop_gradient((answers, feedback, population))
    mode = posterior_mode(jax.lax.stop_gradient(theta), *fixed, steps)
    curvature = _curvature(utilities(mode, fixed[0]), *fixed, uniform_weight=0.0) + fixed[2].precision
    step = _solve_users(curvature, _gradient(mode, utilities(mode, answers), answers, feedback, population))
    return mode + (step - jax.lax.stop_gradient(step))


def posterior_covariance(
    theta: Float[Array, " features *users"],
    answers: Float[Array, "decisions candidates features"],
    feedback: HistoryFeedback,
    population: Population,
    states: StateColumns | None = None,
) -> Float[Array, "*users features features"]:
    """Returns the posterior covariance of the weights by Laplace's approximation: H^-1 at theta.

    Args:
      states: as for `feature_moments.centred_moment`.
    """
    return linearised_covariance(utilities(theta, answers), answers, feedback, population, states)


def linearised_covariance(
    utility: Float[Array, "decisions candidates *users"],
    slopes: Float[Array, "decisions candidates features"],
    feedback: HistoryFeedback,
    population: Population,
    states: StateColumns | None = None,
) -> Float[Array, "*users features features"]:
    """As `posterior_covariance`, from utilities at the mode and their derivatives in theta."""
    return inverse(_curvature(utility, slopes, feedback, population, states) + population.precision)


def _newton_step(
    theta, utility, answers, feedback: HistoryFeedback, population: Population, states: StateColumns | None
) -> jax.Array:
    """theta + scale * H^-1 g."""
    gradient = _gradient(theta, utility, answers, feedback, population)
    curvature = _curvature(utility, answers, feedback, population, states) + population.precision
    step = _solve_users(curvature, gradient)
    return theta + step * _damping(utilities(step, answers), feedback, population)


def _gradient(theta, utility, answers, feedback: HistoryFeedback, population: Population) -> jax.Array:
    """Gradient of the log-posterior in theta, [features, *users]."""
    mean = population.mean.reshape(-1, *[1] * (theta.ndim - 1))
    residual, _ = residuals(utility, feedback, population)
    flat = answers.reshape(-1, answers.shape[-1])
    return flat.T @ residual.reshape(len(flat), *theta.shape[1:]) - population.precision @ (theta - mean)


def _solve_users(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Solves matrix x = vector, [features, *users]; the matrix is [*users, features, features]."""
    return jnp.moveaxis(solve(matrix, jnp.moveaxis(vector, 0, -1)), -1, 0)


def _curvature(
    utility,
    answers,
    feedback: HistoryFeedback,
    population: Population,
    states: StateColumns | None = None,
    uniform_weight: float = _UNIFORM_WEIGHT,
) -> jax.Array:
    """Negative second derivative of the log-likelihood in theta, [*users, features, features]."""
    share, sharpness = predicted_choices(utility, feedback, population), population.sharpness
    share = (1 - uniform_weight) * share + uniform_weight * _uniform_choices(feedback)
    weight = sharpness**2 * share
    if feedback.rated is not None:
        weight += population.rating_precision * feedback.rated
    if feedback.thumbed is not None:
        up = thumb_up_probability(utility, population)
        weight += sharpness**2 * feedback.thumbed * ((1 - uniform_weight) * up * (1 - up) + uniform_weight / 4)
    return centred_moment(answers, weight, sharpness * share, states)


def _damping(change: jax.Array, feedback: HistoryFeedback, population: Population) -> jax.Array:
    """The factor, at most 1, that limits the change of the logits to `_MAX_LOGIT_CHANGE`; [*users].

    Args:
      change: of the utilities by the full step, [decisions, candidates, *users].
    """
    uniform = _uniform_choices(feedback)
    # a choice does not depend on what changes all its candidates alike
    relative = change - (uniform * change).sum(1, keepdims=True)
    squares = (uniform * relative**2).sum((0, 1))
    number = feedback.target.sum((0, 1))
    if feedback.thumbed is not None:
        squares += (feedback.thumbed * change**2).sum((0, 1))
        number += feedback.thumbed.sum((0, 1))
    logits = population.sharpness * jnp.sqrt(squares / jnp.maximum(number, 1) + 1e-12)
    return jnp.minimum(1, _MAX_LOGIT_CHANGE / logits)


def _uniform_choices(feedback: HistoryFeedback) -> jax.Array:
    """Equal probabilities of the candidates; 0 for decisions without a choice."""
    has_choice = feedback.target.sum(1, keepdims=True)
    return has_choice * feedback.offered / jnp.maximum(feedback.offered.sum(1, keepdims=True), 1)
