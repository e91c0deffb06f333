"""What all users have in common, learnt from all of them: expectation maximisation for a Gaussian of weights.

mean' = mean + average of (theta - mean); covariance' = average of (theta - mean)(theta - mean)' + what is not known of
each theta, pulled towards a plain prior that counts as much as a few users.
"""

import jax
import jax.numpy as jnp

from prouter_jax.bayes.columns import Columns
from prouter_jax.bayes.systems import inverse

PRIOR_VARIANCE = 0.3
_FLOOR = 1e-4


def prior_mean(columns: Columns, crowd: jax.Array) -> jax.Array:
    """theta of somebody nobody knows: it follows the crowd once, and sees sides as the crowd does."""
    if not columns.crowd:
        return crowd
    mean = jnp.zeros_like(crowd).at[columns.crowd_at].set(1.0)
    return mean.at[columns.side].set(crowd[columns.side]) if columns.sides else mean


def middle(users: jax.Array, known: jax.Array) -> jax.Array:
    """Whom to take a stranger for where utilities are compared, not shares: the mean of what users weigh, [properties].

    Somebody who never errs is known by its choices up to a scale that grows without end, so each counts the same.
    """
    sizes = jnp.linalg.norm(users, axis=1, keepdims=True)
    return known @ (users / jnp.maximum(sizes, 1e-9)) / jnp.maximum(known.sum(), 1)


def plain_precision(columns: Columns) -> jax.Array:
    """Of theta before anything was learnt, [properties, properties]."""
    return jnp.eye(columns.size) / PRIOR_VARIANCE


def learn(
    columns: Columns, users: jax.Array, unknown: jax.Array, known: jax.Array, crowd: jax.Array, strength: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One step of expectation maximisation.

    Args:
      users: theta [users, properties]; unknown: covariance of each, [users, properties, properties].
      known: 1 for users of whom something is known, [users].
      crowd: weights of the population, [properties].
      strength: how many users the plain prior counts for.

    Returns:
      users, told from the new mean; the new crowd; the new precision.
    """
    count = jnp.maximum(known.sum(), 1)
    off = (users - prior_mean(columns, crowd)) * known[:, None]
    shift = off.sum(0) / (count + 1)  # one user's worth of caution: of an LLM nobody met nothing is learnt
    if columns.crowd:
        shift = shift.at[columns.crowd_at].set(0.0)  # following the crowd once is what gives the crowd its scale
        users = users - shift.at[columns.side].set(0.0) if columns.sides else users - shift
        off = off - shift * known[:, None]
    else:
        off = off - shift * known[:, None]
    total = off.T @ off + jnp.einsum("u,uab->ab", known, unknown) + strength * PRIOR_VARIANCE * jnp.eye(columns.size)
    covariance = total / (count + strength)
    return users, crowd + shift, inverse(covariance + _FLOOR * jnp.eye(columns.size))
