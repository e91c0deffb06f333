"""Cholesky solves and inverses of many small symmetric positive definite matrices.

On a CPU the matrices are factorised one after the other: two batched LAPACK calls that run at the same time can wait
for each other without end on two cores. On other devices the calls are batched.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_JITTER = 1e-6  # relative to the largest diagonal entry; linearly dependent features make a matrix nearly singular


def solve(matrix: Float[Array, "*batch n n"], vector: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Solves matrix x = vector for x."""
    size = matrix.shape[-1]
    return _map(_solve, matrix.reshape(-1, size, size), vector.reshape(-1, size)).reshape(vector.shape)


def inverse(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Inverts the matrices."""
    size = matrix.shape[-1]
    return _map(_inverse, matrix.reshape(-1, size, size)).reshape(matrix.shape)


def _map(function, *arrays: jax.Array) -> jax.Array:
    """Applies a function to each entry of the first axis: in sequence on a CPU, batched elsewhere."""
    return jax.lax.platform_dependent(
        *arrays,
        # a vmap over this map would batch the LAPACK calls again
        cpu=jax.custom_batching.sequential_vmap(lambda *batch: jax.lax.map(lambda entry: function(*entry), batch)),
        default=jax.vmap(function),
    )


def _solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cho_solve((_cholesky(matrix), True), vector)


def _inverse(matrix: jax.Array) -> jax.Array:
    inverse_factor = jax.scipy.linalg.solve_triangular(_cholesky(matrix), jnp.eye(len(matrix)), lower=True)
    return inverse_factor.T @ inverse_factor


def _cholesky(matrix: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(matrix + _JITTER * jnp.diagonal(matrix).max() * jnp.eye(len(matrix)))
