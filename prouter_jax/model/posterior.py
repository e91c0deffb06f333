"""What a history says about its user: messages of surprise, answered with Bayesian caution.

A user weighs an answer's properties a by theta: utility = theta . a. A choice follows the softmax of
sharpness * utility over the candidates on offer, a rating is utility plus noise, and a thumb goes up with the
probability sigmoid(sharpness * (utility - bar)). Reading a history is a few
Newton steps towards the most probable theta; each is one round of messages along the history edges:

    message = (what the user said - what theta predicts) * a          per candidate on offer
    theta'  = theta + (prior precision + summed curvature)^-1 (sum of messages - precision (theta - mean))

so few observations move a user little, many move it far, and a user without any keeps the mean: the
user-blind answer.

Axes: [decisions, candidates] for one user, [decisions, candidates, users] where users share the
queries; the functions take either, and then the sums are matrix products over all users.
"""

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.graph.history import HistoryFeedback

_JITTER = 1e-6  # of the largest diagonal entry: columns may be sums of others, which rounding makes indefinite


def solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """x of matrix x = vector, [..., n, n] and [..., n]."""
    size = matrix.shape[-1]
    found = _each(_solve, matrix.reshape(-1, size, size), vector.reshape(-1, size))
    return found.reshape(vector.shape)


def inverse(matrix: jax.Array) -> jax.Array:
    """[..., n, n]."""
    size = matrix.shape[-1]
    return _each(_inverse, matrix.reshape(-1, size, size)).reshape(matrix.shape)


def _each(function, *arrays: jax.Array) -> jax.Array:
    return jax.lax.platform_dependent(
        *arrays,
        # vmap over this map would batch the calls again
        cpu=jax.custom_batching.sequential_vmap(lambda *some: jax.lax.map(lambda rows: function(*rows), some)),
        default=jax.vmap(function),
    )


def _solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cho_solve((_factor(matrix), True), vector)


def _inverse(matrix: jax.Array) -> jax.Array:
    half = jax.scipy.linalg.solve_triangular(_factor(matrix), jnp.eye(len(matrix)), lower=True)
    return half.T @ half


def _factor(matrix: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(matrix + _JITTER * jnp.diagonal(matrix).max() * jnp.eye(len(matrix)))


_EVENNESS = 0.05  # share of an even prediction in the curvature: keeps it from vanishing where choices are certain
_LONGEST_STEP = 3.0  # in logits, root mean square over candidates: Newton's method overshoots beyond


@struct.dataclass
class Population:
    """What is common to all users.

    Attributes:
      mean, precision: of theta before anything is known of a user, [properties] and [properties, properties].
      sharpness: of choices, in utility.
      certainty: of ratings, 1 / variance of their noise.
      bar: the utility at which thumbs go up as often as down.
    """

    mean: jax.Array
    precision: jax.Array
    sharpness: jax.Array
    certainty: jax.Array
    threshold: jax.Array | float = 0.0


def posterior_mode(
    theta: jax.Array, answers: jax.Array, feedback: HistoryFeedback, population: Population, steps: int
) -> jax.Array:
    """Moves theta [properties, ...] by Newton steps; `answers` [decisions, candidates, properties]."""
    even = _even_shares(feedback)
    spread = _covariance(answers, even)
    if feedback.thumbed is not None:
        spread += _second_moment(answers, feedback.thumbed)

    def step(_, theta):
        return _newton_step(theta, answers, feedback, population, even, spread)

    return jax.lax.fori_loop(0, steps, step, theta)


def posterior_covariance(
    theta: jax.Array, answers: jax.Array, feedback: HistoryFeedback, population: Population
) -> jax.Array:
    """Covariance of what is not known of theta, by Laplace's approximation, [..., properties, properties]."""
    curvature = _curvature(utilities(theta, answers), answers, feedback, population, _even_shares(feedback))
    return inverse(curvature + population.precision)


def residuals(utility: jax.Array, feedback: HistoryFeedback, population: Population) -> tuple[jax.Array, jax.Array]:
    """Said minus predicted, and the curvature in each utility; the shape of `said`, scaled to utilities."""
    share, sharpness = _shares(utility, feedback, population)
    residual = sharpness * (feedback.target - share)
    weight = sharpness**2 * share * (1 - share)
    if feedback.rating is not None and feedback.rated is not None:
        residual += population.certainty * feedback.rated * (feedback.rating - utility)
        weight += population.certainty * feedback.rated
    if feedback.thumb is not None and feedback.thumbed is not None:
        up = _thumbs_up(utility, population)
        residual += sharpness * feedback.thumbed * (feedback.thumb - up)
        weight += sharpness**2 * feedback.thumbed * up * (1 - up)
    return residual, weight


def negative_log_likelihood(
    utility: jax.Array, feedback: HistoryFeedback, population: Population
) -> dict[str, jax.Array]:
    """How badly what was said is told, and how much was said, by user.

    Returns:
      choice, rating and thumb: negative log likelihood of the choices, squared errors of the ratings, negative log
      likelihood of the thumbs; choices, ratings and thumbs: their numbers; too_high and steep: what moves `bar`, slope
      of the thumbs' log likelihood in it and the most that its curvature can be (Boehning 1992). Only of the kinds that
      there are, beside choices.
    """
    share = log_choice_probabilities(population.sharpness * utility, feedback.offered)
    found = {"choice": -(feedback.target * share).sum((0, 1)), "choices": feedback.target.sum((0, 1))}
    if feedback.rating is not None and feedback.rated is not None:
        found |= {
            "rating": (feedback.rated * (feedback.rating - utility) ** 2).sum((0, 1)),
            "ratings": feedback.rated.sum((0, 1)),
        }
    if feedback.thumb is not None and feedback.thumbed is not None:
        up, logit = _thumbs_up(utility, population), population.sharpness * (utility - population.threshold)
        told = {
            "thumb": jax.nn.softplus(jnp.where(feedback.thumb > 0, -logit, logit)),
            "thumbs": 1.0,
            "too_high": population.sharpness * (up - feedback.thumb),
            "steep": population.sharpness**2 / 4,
        }
        found |= {name: (feedback.thumbed * value).sum((0, 1)) for name, value in told.items()}
    return found


def utilities(theta: jax.Array, answers: jax.Array) -> jax.Array:
    """theta [properties, ...] . answers [decisions, candidates, properties] -> [decisions, candidates, ...]."""
    return (answers.reshape(-1, len(theta)) @ theta).reshape(*answers.shape[:2], *theta.shape[1:])


def choice_probabilities(logits: jax.Array, offered: jax.Array) -> jax.Array:
    """Softmax over the candidates (axis 1) on offer; zero elsewhere."""
    masked = jnp.where(offered > 0, logits, -1e9)
    unnormed = jnp.exp(masked - masked.max(1, keepdims=True)) * (offered > 0)
    return unnormed / jnp.maximum(unnormed.sum(1, keepdims=True), 1e-30)


def log_choice_probabilities(logits: jax.Array, offered: jax.Array) -> jax.Array:
    """Log softmax over the candidates (axis 1) on offer; zero elsewhere."""
    masked = jnp.where(offered > 0, logits, -1e9)
    return jnp.where(offered > 0, jax.nn.log_softmax(masked, axis=1), 0.0)


def _shares(utility: jax.Array, feedback: HistoryFeedback, population: Population) -> tuple[jax.Array, jax.Array]:
    """Predicted shares of the choice, zero for decisions without one; and the sharpness."""
    chosen = feedback.target.sum(1, keepdims=True)
    return chosen * choice_probabilities(population.sharpness * utility, feedback.offered), population.sharpness


def _thumbs_up(utility: jax.Array, population: Population) -> jax.Array:
    """The probability of a thumb up."""
    return jax.nn.sigmoid(population.sharpness * (utility - population.threshold))


def _newton_step(theta, answers, feedback: HistoryFeedback, population: Population, even, spread) -> jax.Array:
    mean = population.mean.reshape(-1, *[1] * (theta.ndim - 1))
    utility = utilities(theta, answers)
    residual, _ = residuals(utility, feedback, population)
    flat = answers.reshape(-1, answers.shape[-1])
    push = flat.T @ residual.reshape(len(flat), *theta.shape[1:]) - population.precision @ (theta - mean)
    curvature = _curvature(utility, answers, feedback, population, even) + population.precision
    step = solve(curvature, jnp.moveaxis(push, 0, -1))
    return theta + jnp.moveaxis(step * _shortened(step, spread, feedback, population), -1, 0)


def _curvature(utility, answers, feedback: HistoryFeedback, population: Population, even: jax.Array) -> jax.Array:
    """Curvature of the log likelihood in theta, [..., properties, properties]."""
    share, sharpness = _shares(utility, feedback, population)
    curvature = sharpness**2 * _covariance(answers, (1 - _EVENNESS) * share + _EVENNESS * even)
    if feedback.rated is not None:
        curvature += population.certainty * _second_moment(answers, feedback.rated)
    if feedback.thumbed is not None:
        up = _thumbs_up(utility, population)
        even_thumbs = (1 - _EVENNESS) * up * (1 - up) + _EVENNESS / 4
        curvature += sharpness**2 * _second_moment(answers, feedback.thumbed * even_thumbs)
    return curvature


def _shortened(step: jax.Array, spread: jax.Array, feedback: HistoryFeedback, population: Population) -> jax.Array:
    """What a step [..., properties] is multiplied with, so that it moves logits by `_LONGEST_STEP` at most."""
    moved = jnp.einsum("...a,...ab,...b->...", step, spread, step)
    number = feedback.target.sum((0, 1)) + (0 if feedback.thumbed is None else feedback.thumbed.sum((0, 1)))
    logits = population.sharpness * jnp.sqrt(moved / jnp.maximum(number, 1) + 1e-12)
    return jnp.minimum(1, _LONGEST_STEP / logits)[..., None]


def _even_shares(feedback: HistoryFeedback) -> jax.Array:
    """The prediction of somebody who knows nothing, for the decisions with a choice."""
    chosen = feedback.target.sum(1, keepdims=True)
    return chosen * feedback.offered / jnp.maximum(feedback.offered.sum(1, keepdims=True), 1)


def _second_moment(answers: jax.Array, weight: jax.Array) -> jax.Array:
    """Sum of weight a a', [..., properties, properties]; one matrix product where users share the answers."""
    size, users = answers.shape[-1], weight.shape[2:]
    if not users:
        flat = answers.reshape(-1, size)
        return (flat * weight.reshape(-1, 1)).T @ flat
    outer = (answers[..., :, None] * answers[..., None, :]).reshape(-1, size**2)
    total = outer.T @ weight.reshape(len(outer), *users)
    return jnp.moveaxis(total.reshape(size, size, *users), (0, 1), (-2, -1))


def _covariance(answers: jax.Array, share: jax.Array) -> jax.Array:
    """Covariance of a under the shares of each decision, summed over decisions, [..., properties, properties].

    The shares of a decision with a choice sum to one; of any other all are zero.
    """
    mean = jnp.einsum("kca,kc...->ka...", answers, share)
    return _second_moment(answers, share) - jnp.einsum("ka...,kb...->...ab", mean, mean)
