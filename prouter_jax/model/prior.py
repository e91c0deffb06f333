"""Gaussian prior of users' weights, learnt by expectation maximisation (EM).

The prior is theta ~ Normal(mean, covariance). With a user's posterior mode theta_u and posterior covariance C_u (the
E-step, `posterior`), the M-step over n users with feedback is

    shift       = sum of d_u / (n + 1)                          d_u = theta_u - mean
    covariance' = (sum of [(d_u - shift)(d_u - shift)' + C_u] + strength * PRIOR_VARIANCE * I) / (n + strength)

so the prior before training counts for one user in the mean and for `strength` users in the covariance.

Where the answer features include the population utility (the utility under the population's mean weights), a user is
a deviation from the population: its prior mean is 1 on that feature, and the shift moves the population mean.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.batched_cholesky import inverse

PRIOR_VARIANCE = 0.3  # of each weight before training
_MIN_VARIANCE = 1e-4  # added to the diagonal of the covariance


def prior_mean(features: AnswerFeatures, population_mean: Float[Array, " features"]) -> Float[Array, " features"]:
    """Returns the prior mean of a user's weights, which are the weights of a user without feedback.

    Args:
      population_mean: mean weights of the population.
    """
    if not features.population_utility:
        return population_mean
    mean = jnp.zeros_like(population_mean).at[features.population_index].set(1.0)
    return (
        mean.at[features.shown_first_index].set(population_mean[features.shown_first_index])
        if features.shown_first
        else mean
    )


def mean_direction(
    users: Float[Array, "users features"], has_history: Float[Array, " users"]
) -> Float[Array, " features"]:
    """Returns the mean direction of the users' weights: the mean of theta / |theta| over users with feedback.

    The scale of the weights is not identified for a user whose choices have no noise, so every user counts the same.
    """
    norms = jnp.linalg.norm(users, axis=1, keepdims=True)
    return has_history @ (users / jnp.maximum(norms, 1e-9)) / jnp.maximum(has_history.sum(), 1)


def initial_precision(features: AnswerFeatures) -> Float[Array, "features features"]:
    """Returns the prior precision of the weights before training."""
    return jnp.eye(features.size) / PRIOR_VARIANCE


@struct.dataclass
class SecondMoments:
    """Sufficient statistics of the M-step, summed over users with feedback.

    Attributes:
      count: n, the number of users.
      deviation: sum of d_u = theta_u - prior mean, [features].
      outer: sum of d_u d_u' + C_u, [features, features].
    """

    count: jax.Array
    deviation: jax.Array
    outer: jax.Array


def second_moments(
    features: AnswerFeatures,
    users: Float[Array, "users features"],
    covariance: Float[Array, "users features features"],
    has_history: Float[Array, " users"],
    population_mean: Float[Array, " features"],
) -> SecondMoments:
    """Sums the statistics of the M-step over users.

    Args:
      users, covariance: posterior mode and covariance of each user's weights.
      has_history: 1 for users with feedback, else 0.
    """
    deviation = (users - prior_mean(features, population_mean)) * has_history[:, None]
    outer = deviation.T @ deviation + jnp.einsum("u,uab->ab", has_history, covariance)
    return SecondMoments(has_history.sum(), deviation.sum(0), outer)


def m_step(
    features: AnswerFeatures, moments: SecondMoments, strength: float
) -> tuple[Float[Array, " features"], Float[Array, "features features"]]:
    """Returns the shift of the population mean and the new prior precision; equations in the module docstring.

    Args:
      strength: weight of the initial covariance, in users.
    """
    count = jnp.maximum(moments.count, 1)
    shift = moments.deviation / (count + 1)
    if features.population_utility:
        # the weight on the population utility stays 1: this fixes the scale of the population mean
        shift = shift.at[features.population_index].set(0.0)
    cross = jnp.outer(shift, moments.deviation)
    total = moments.outer - cross - cross.T + moments.count * jnp.outer(shift, shift)
    covariance = (total + strength * PRIOR_VARIANCE * jnp.eye(features.size)) / (count + strength)
    return shift, inverse(covariance + _MIN_VARIANCE * jnp.eye(features.size))


def recentre(
    features: AnswerFeatures, users: Float[Array, "users features"], shift: Float[Array, " features"]
) -> Float[Array, "users features"]:
    """Re-centres user weights after the population mean moved by `shift`; the users' utilities are unchanged."""
    if not features.population_utility:
        return users
    return users - shift.at[features.shown_first_index].set(0.0) if features.shown_first else users - shift
