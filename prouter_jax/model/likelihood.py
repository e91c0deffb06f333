"""Likelihood of users' feedback given their utilities: choices, ratings and thumbs.

A user with weights theta gives an answer with features a the utility u = theta . a. Feedback is modelled as

    choice   P(candidate c) = softmax(sharpness * u)_c        over the candidates of the decision
    rating   r ~ Normal(u, 1 / rating_precision)              of one answer
    thumb    P(up) = sigmoid(sharpness * (u - threshold))     of one answer

Arrays are [decisions, candidates] for one user and [decisions, candidates, users] for users who share their queries:
`*#users` in the annotations is no axis or one, which broadcasts.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from prouter_jax.graph.history import HistoryFeedback

MIN_SHARE = 1e-4  # of a predicted choice probability, before the logarithm


@struct.dataclass
class Population:
    """Parameters that all users share: the Gaussian prior of their weights and the scales of the likelihood.

    Attributes:
      mean: prior mean of theta, [features].
      precision: prior precision (inverse covariance) of theta, [features, features].
      sharpness: inverse temperature of choices and thumbs, in 1 / utility.
      rating_precision: 1 / variance of the ratings' noise.
      threshold: utility at which a thumb is up with probability 1/2.
    """

    mean: jax.Array
    precision: jax.Array
    sharpness: jax.Array
    rating_precision: jax.Array
    threshold: jax.Array | float = 0.0


def utilities(
    theta: Float[Array, " features *#users"], answers: Float[Array, "decisions candidates features"]
) -> Float[Array, "decisions candidates *#users"]:
    """Returns the utilities theta . a of the answers."""
    return (answers.reshape(-1, len(theta)) @ theta).reshape(*answers.shape[:2], *theta.shape[1:])


def choice_probabilities(
    logits: Float[Array, "decisions candidates *#users"], offered: Float[Array, "decisions candidates *#users"]
) -> Float[Array, "decisions candidates *#users"]:
    """Softmax over the candidates on offer; 0 for the others.

    Args:
      offered: 1 for the candidates of the decision, else 0.
    """
    masked = jnp.where(offered > 0, logits, -1e9)
    unnormed = jnp.exp(masked - masked.max(1, keepdims=True)) * (offered > 0)
    return unnormed / jnp.maximum(unnormed.sum(1, keepdims=True), 1e-30)


def log_choice_probabilities(
    logits: Float[Array, "decisions candidates *#users"], offered: Float[Array, "decisions candidates *#users"]
) -> Float[Array, "decisions candidates *#users"]:
    """Log softmax over the candidates on offer; 0 for the others."""
    masked = jnp.where(offered > 0, logits, -1e9)
    return jnp.where(offered > 0, jax.nn.log_softmax(masked, axis=1), 0.0)


def residuals(
    utility: Float[Array, "decisions candidates *#users"], feedback: HistoryFeedback, population: Population
) -> tuple[Float[Array, "decisions candidates *#users"], Float[Array, "decisions candidates *#users"]]:
    """Returns gradient and negative second derivative of the log-likelihood in each utility.

        gradient    sharpness (choice - p) + rating_precision (rating - u) + sharpness (thumb - up)
        curvature   sharpness^2 p (1 - p) + rating_precision + sharpness^2 up (1 - up)

    with p the predicted choice probability, up the predicted probability of a thumb up, and only the terms of the
    feedback that was given.
    """
    share, sharpness = predicted_choices(utility, feedback, population), population.sharpness
    gradient = sharpness * (feedback.target - share)
    curvature = sharpness**2 * share * (1 - share)
    if feedback.rating is not None and feedback.rated is not None:
        gradient += population.rating_precision * feedback.rated * (feedback.rating - utility)
        curvature += population.rating_precision * feedback.rated
    if feedback.thumb is not None and feedback.thumbed is not None:
        up = thumb_up_probability(utility, population)
        gradient += sharpness * feedback.thumbed * (feedback.thumb - up)
        curvature += sharpness**2 * feedback.thumbed * up * (1 - up)
    return gradient, curvature


def negative_log_likelihood(
    utility: Float[Array, "decisions candidates *#users"], feedback: HistoryFeedback, population: Population
) -> dict[str, Float[Array, "*users"]]:
    """Sums the losses of each kind of feedback over a user's decisions.

    Returns:
      choice, choices: negative log-likelihood of the choices, in nats, and their number.
      rating, ratings: squared error of the ratings and their number; absent if no user rates.
      thumb, thumbs: negative log-likelihood of the thumbs and their number; absent if no user gives thumbs.
      threshold_gradient, threshold_curvature: gradient of the thumbs' log-likelihood in the threshold, and
        sharpness^2 / 4 per thumb, an upper bound of its negative second derivative (Boehning 1992); with the thumbs.
    """
    share = log_choice_probabilities(population.sharpness * utility, feedback.offered)
    sums = {"choice": -(feedback.target * share).sum((0, 1)), "choices": feedback.target.sum((0, 1))}
    if feedback.rating is not None and feedback.rated is not None:
        sums["rating"] = (feedback.rated * (feedback.rating - utility) ** 2).sum((0, 1))
        sums["ratings"] = feedback.rated.sum((0, 1))
    if feedback.thumb is not None and feedback.thumbed is not None:
        up = thumb_up_probability(utility, population)
        logit = population.sharpness * (utility - population.threshold)
        per_thumb = {
            "thumb": jax.nn.softplus(jnp.where(feedback.thumb > 0, -logit, logit)),
            "thumbs": 1.0,
            "threshold_gradient": population.sharpness * (up - feedback.thumb),
            "threshold_curvature": population.sharpness**2 / 4,
        }
        sums |= {name: (feedback.thumbed * value).sum((0, 1)) for name, value in per_thumb.items()}
    return sums


def predicted_choices(
    utility: Float[Array, "decisions candidates *#users"], feedback: HistoryFeedback, population: Population
) -> Float[Array, "decisions candidates *#users"]:
    """Returns the choice probabilities of the candidates; 0 for decisions without a choice."""
    has_choice = feedback.target.sum(1, keepdims=True)
    return has_choice * choice_probabilities(population.sharpness * utility, feedback.offered)


def thumb_up_probability(
    utility: Float[Array, "decisions candidates *#users"], population: Population
) -> Float[Array, "decisions candidates *#users"]:
    """Returns sigmoid(sharpness * (utility - threshold))."""
    return jax.nn.sigmoid(population.sharpness * (utility - population.threshold))
