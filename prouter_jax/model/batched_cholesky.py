"""Cholesky solves and inverses of many small symmetric positive definite matrices, with their gradients.

With A = L L' and the inverse factor W = L^-1, the inverse of A is W' W. W is computed by halves:

    A = [[A1, B'], [B, A2]]    W1 of A1    R = B W1'    W2 of A2 - R R'    W = [[W1, 0], [-W2 R W1, W2]]

which is products of matrices almost alone. Those of LAPACK on whole matrices cost up to ten times the CPU time: its
threads wait for each other actively.

On a CPU the matrices are factorised one after the other: two batched LAPACK calls that run at the same time can wait
for each other without end on two cores. On other devices the calls are batched.

With A x = b and the gradient g of a loss in x, the gradients are A^-1 g in b and -A^-1 g x' in A; with the gradient G
in the inverse X = A^-1, it is -X G X in A. Those in A are made symmetric. The jitter counts as a constant.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_JITTER = 1e-6  # relative to the largest diagonal entry; linearly dependent features make a matrix nearly singular
_LAPACK_SIZE = 32  # of the largest matrix that LAPACK factorises and inverts


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
    return _solve_forward(matrix, vector)[0]


def _solve_forward(matrix, vector):
    factor = _map(_inverse_factor, matrix)
    solution = _apply_inverse(factor, vector)
    return solution, (factor, solution)


def _solve_backward(kept, gradient):
    factor, solution = kept
    of_vector = _apply_inverse(factor, gradient)
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
    return (-_product(_product(inverted, _symmetric(gradient)), inverted),)


_inverse_each.defvjp(_inverse_forward, _inverse_backward)


def _map(function, matrices: jax.Array) -> jax.Array:
    """Applies a function to each entry of the first axis: in sequence on a CPU, batched elsewhere."""
    return jax.lax.platform_dependent(
        matrices,
        # a vmap over this map would batch the LAPACK calls again
        cpu=jax.custom_batching.sequential_vmap(lambda batch: jax.lax.map(function, batch)),
        default=jax.vmap(function),
    )


def _apply_inverse(factor: jax.Array, vector: jax.Array) -> jax.Array:
    """W' W vector."""
    return _product(jnp.swapaxes(factor, -1, -2), _product(factor, vector[..., None]))[..., 0]


def _inverse(matrix: jax.Array) -> jax.Array:
    factor = _inverse_factor(matrix)
    return _product(factor.T, factor)


def _inverse_factor(matrix: jax.Array) -> jax.Array:
    """W of the matrix with jitter."""
    jitter = _JITTER * jnp.diagonal(matrix).max()
    return _by_halves((matrix + matrix.T) / 2 + jitter * jnp.eye(len(matrix), dtype=matrix.dtype))


def _by_halves(matrix: jax.Array) -> jax.Array:
    size = len(matrix)
    if size <= _LAPACK_SIZE:
        factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
        return jax.scipy.linalg.solve_triangular(factor, jnp.eye(size, dtype=matrix.dtype), lower=True)
    half = size // 2
    first = _by_halves(matrix[:half, :half])
    cross = _product(matrix[half:, :half], first.T)
    second = _by_halves(matrix[half:, half:] - _product(cross, cross.T))
    below = -_product(second, _product(cross, first))
    return jnp.block([[first, jnp.zeros((half, size - half), matrix.dtype)], [below, second]])


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    """Matrix product in float32 on every device: rounded products may leave no positive definite matrix."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _symmetric(matrix: jax.Array) -> jax.Array:
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2
