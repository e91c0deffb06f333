"""Cholesky solves and inverses of many small symmetric positive definite matrices, with their gradients.

On a CPU the matrices are factorised one after the other: two batched LAPACK calls that run at the same time can wait
for each other without end on two cores. On other devices the calls are batched.

With A x = b and the gradient g of a loss in x, the gradients are A^-1 g in b and -A^-1 g x' in A; with the gradient G
in the inverse X = A^-1, it is -X G X in A. Those in A are made symmetric. The jitter counts as a constant.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_JITTER = 1e-6  # relative to the largest diagonal entry; linearly dependent features make a matrix nearly singular


def solve(matrix: Float[Array, "*batch n n"], vector: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Solves matrix x = vector for x."""
    size = matrix.shape[-1]
    return _solve_each(matrix.reshape(-1, size, size), vector.reshape(-1, size)).reshape(vector.shape)


def inverse(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Inverts the matrices."""
    size = matrix.shape[-1]
    return _inverse_each(matrix.reshape(-1, size, size)).reshape(matrix.shape)


@jax.custom_vjp
def _solve_each(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return _map(_solve, matrix, vector)


def _solve_forward(matrix, vector):
    factor, solution = _map(_factor_and_solution, matrix, vector)
    return solution, (factor, solution)


def _solve_backward(kept, gradient):
    factor, solution = kept
    of_vector = _map(_solve_factorised, factor, gradient)
    outer = of_vector[:, :, None] * solution[:, None, :]
    return -_symmetric(outer), of_vector


_solve_each.defvjp(_solve_forward, _solve_backward)


@jax.custom_vjp
def _inverse_each(matrix: jax.Array) -> jax.Array:
    return _map(_inverse, matrix)


def _inverse_forward(matrix):
    inverted = _inverse_each(matrix)
    return inverted, inverted


def _inverse_backward(inverted, gradient):
    return (-inverted @ _symmetric(gradient) @ inverted,)


_inverse_each.defvjp(_inverse_forward, _inverse_backward)


def _map(function, *arrays: jax.Array) -> Any:
    """Applies a function to each entry of the first axis: in sequence on a CPU, batched elsewhere."""
    return jax.lax.platform_dependent(
        *arrays,
        # a vmap over this map would batch the LAPACK calls again
        cpu=jax.custom_batching.sequential_vmap(lambda *batch: jax.lax.map(lambda entry: function(*entry), batch)),
        default=jax.vmap(function),
    )


def _solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return _solve_factorised(_cholesky(matrix), vector)


def _factor_and_solution(matrix: jax.Array, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    factor = _cholesky(matrix)
    return factor, _solve_factorised(factor, vector)


def _solve_factorised(factor: jax.Array, vector: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cho_solve((factor, True), vector)


def _inverse(matrix: jax.Array) -> jax.Array:
    inverse_factor = jax.scipy.linalg.solve_triangular(
        _cholesky(matrix), jnp.eye(len(matrix), dtype=matrix.dtype), lower=True
    )
    return inverse_factor.T @ inverse_factor


def _cholesky(matrix: jax.Array) -> jax.Array:
    jitter = _JITTER * jnp.diagonal(matrix).max()
    return jnp.linalg.cholesky(matrix + jitter * jnp.eye(len(matrix), dtype=matrix.dtype))


def _symmetric(matrix: jax.Array) -> jax.Array:
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2
