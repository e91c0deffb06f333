"""Landmarks: known queries that stand for all others in the kernel regression.

They are the pivots of a partial Cholesky factorisation of the kernel matrix (Fine and Scheinberg 2001, JMLR 2): the
next landmark is the query whose value those so far leave most uncertain, the one of the largest residual variance. So
they cover the queries, and no two of them are copies.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.query_kernel import Scales, kernel_values

_MOST_CANDIDATES = 8192  # bounds the time and memory of the choice, whatever the number of queries
_MOST_PIVOTS = 2048  # the time of the choice grows with their square
_LEAST_VARIANCE = 1e-4  # relative to the largest; what the landmarks leave is then noise of rounding


def choose_landmarks(places: QueryFeatures, num_tasks: int, scales: Scales, most: int) -> Int[np.ndarray, " landmarks"]:
    """Chooses at most `most` landmarks; the same for the same queries.

    Args:
      places: features of the known queries; landmarks are among a random 8,192 of them if there are more.
      most: more than 2,048 landmarks are drawn at random: so many cover the queries in any case.

    Returns:
      Rows of the landmarks in `places`: all rows if these are not more than `most`, else in the order of choice. They
      are fewer than `most` where fewer leave no variance.
    """
    rows = np.arange(len(places.task))
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng(0).permutation(rows)
    if most > _MOST_PIVOTS:
        return np.sort(drawn[:most])
    rows = np.sort(drawn[:_MOST_CANDIDATES])
    pivots, variances = (np.asarray(x) for x in _pivots(places.take(rows), num_tasks, scales, most))
    return rows[pivots[variances > _LEAST_VARIANCE * variances[0]]]


@functools.partial(jax.jit, static_argnums=(1, 3))
def _pivots(
    places: QueryFeatures, num_tasks: int, scales: Scales, number: int
) -> tuple[Int[Array, " pivots"], Float[Array, " pivots"]]:
    """Rows of the pivots, and the residual variance of each when it was chosen, which never grows."""
    places, count = jax.tree.map(jnp.asarray, places), len(places.task)

    def step(at, carry):
        factor, residual, pivots, variances = carry
        pivot = jnp.argmax(residual)
        column = kernel_values(places.take(pivot[None]), places, scales, num_tasks)[0] - factor[:, pivot] @ factor
        column /= jnp.sqrt(jnp.maximum(residual[pivot], jnp.finfo(jnp.float32).tiny))
        rest = jnp.maximum(residual - jnp.square(column), 0).at[pivot].set(0)
        return factor.at[at].set(column), rest, pivots.at[at].set(pivot), variances.at[at].set(residual[pivot])

    variance = 1 + (1 + scales.task) * (places.task < num_tasks)
    start = (jnp.zeros((number, count)), variance, jnp.zeros(number, int), jnp.zeros(number))
    return jax.lax.fori_loop(0, number, step, start)[2:]
