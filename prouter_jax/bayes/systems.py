"""Many small positive definite systems at once.

On a CPU one after the other: of two batched LAPACK calls that run at the same time each waits for the threads that the
other holds, for ever on a machine of two cores (jaxlib 0.10). It takes no longer.
"""

import jax
import jax.numpy as jnp

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
