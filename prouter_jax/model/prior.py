"""What all users have in common, learnt from all of them: expectation maximisation for a Gaussian of weights.

mean' = mean + average of (theta - mean); covariance' = average of (theta - mean)(theta - mean)' + what is not known of
each theta, pulled towards a plain prior that counts as much as a few users.
"""

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.posterior import inverse

PRIOR_VARIANCE = 0.3
_FLOOR = 1e-4


def prior_mean(columns: AnswerFeatures, population_mean: jax.Array) -> jax.Array:
    """theta of somebody nobody knows: it follows the crowd once, and sees sides as the crowd does."""
    if not columns.population_mean:
        return population_mean
    mean = jnp.zeros_like(population_mean).at[columns.population_mean_at].set(1.0)
    return mean.at[columns.side].set(population_mean[columns.side]) if columns.sides else mean


def middle(users: jax.Array, known: jax.Array) -> jax.Array:
    """Whom to take a stranger for where utilities are compared, not shares: the mean of what users weigh, [properties].

    Somebody who never errs is known by its choices up to a scale that grows without end, so each counts the same.
    """
    sizes = jnp.linalg.norm(users, axis=1, keepdims=True)
    return known @ (users / jnp.maximum(sizes, 1e-9)) / jnp.maximum(known.sum(), 1)


def plain_precision(columns: AnswerFeatures) -> jax.Array:
    """Of theta before anything was learnt, [properties, properties]."""
    return jnp.eye(columns.size) / PRIOR_VARIANCE


@struct.dataclass
class SecondMoments:
    """What the population is learnt from, summed over users.

    Attributes:
      count: of users of whom something is known.
      off: what they weigh beside the prior mean, [properties].
      outer: products of these with themselves, and what is not known of each user, [properties, properties].
    """

    count: jax.Array
    off: jax.Array
    outer: jax.Array


def second_moments(
    columns: AnswerFeatures, users: jax.Array, unknown: jax.Array, known: jax.Array, population_mean: jax.Array
) -> SecondMoments:
    """Sums over users.

    Args:
      users: theta [users, properties]; unknown: covariance of each, [users, properties, properties].
      known: 1 for users of whom something is known, [users].
      crowd: weights of the population, [properties].
    """
    off = (users - prior_mean(columns, population_mean)) * known[:, None]
    return SecondMoments(known.sum(), off.sum(0), off.T @ off + jnp.einsum("u,uab->ab", known, unknown))


def m_step(columns: AnswerFeatures, spread: SecondMoments, strength: float) -> tuple[jax.Array, jax.Array]:
    """One step of expectation maximisation.

    Args:
      strength: how many users the plain prior counts for.

    Returns:
      the shift of the crowd's weights [properties], and the new precision.
    """
    count = jnp.maximum(spread.count, 1)
    shift = spread.off / (count + 1)  # one user's worth of caution: of an LLM nobody met nothing is learnt
    if columns.population_mean:
        shift = shift.at[columns.population_mean_at].set(
            0.0
        )  # following the crowd once is what gives the crowd its scale
    moved = jnp.outer(shift, spread.off)
    total = spread.outer - moved - moved.T + spread.count * jnp.outer(shift, shift)
    covariance = (total + strength * PRIOR_VARIANCE * jnp.eye(columns.size)) / (count + strength)
    return shift, inverse(covariance + _FLOOR * jnp.eye(columns.size))


def recentre(columns: AnswerFeatures, users: jax.Array, shift: jax.Array) -> jax.Array:
    """Users [users, properties] as they are told from a crowd that has shifted: what they think stays the same."""
    if not columns.population_mean:
        return users
    return users - shift.at[columns.side].set(0.0) if columns.sides else users - shift
