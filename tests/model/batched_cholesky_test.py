"""Small systems: parity with numpy, gradients, and no waiting for ever where two batches are solved at once."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import processes
import pytest
from jax.test_util import check_grads

from prouter_jax.model.batched_cholesky import inverse, solve

# in a process of its own, for what waits for ever cannot be interrupted
_AT_ONCE = """
import jax, jax.numpy as jnp
from prouter_jax.model.batched_cholesky import inverse, solve
root = jax.random.normal(jax.random.key(0), (1000, 54, 54))
matrix, vector = root @ jnp.swapaxes(root, 1, 2) + 54 * jnp.eye(54), root[:, 0]
loss = lambda m, v: (solve(m, v) ** 2).sum() + (inverse(m) ** 2).sum()
gradients = jax.grad(loss, (0, 1))
together = jax.jit(lambda m, v: (solve(m, v), inverse(m), solve(m + 1, v), gradients(m, v), gradients(m + 1, v)))
for _ in range(20):
    jax.block_until_ready(together(matrix, vector))
"""


def _systems():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 3, 4, 4))
    return root @ root.swapaxes(-1, -2) + 0.1 * np.eye(4), rng.normal(size=(6, 3, 4))


def test_systems_are_solved():
    matrix, vector = _systems()
    expected = np.linalg.solve(matrix, vector[..., None])[..., 0]
    np.testing.assert_allclose(solve(jnp.asarray(matrix), jnp.asarray(vector)), expected, rtol=1e-2)


def test_inverses():
    matrix, _ = _systems()
    np.testing.assert_allclose(inverse(jnp.asarray(matrix)), np.linalg.inv(matrix), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("size", [33, 70, 131])
def test_matrices_of_several_halves(size):
    rng = np.random.default_rng(2)
    root = rng.normal(size=(3, size, 2 * size))
    matrix, vector = root @ root.swapaxes(-1, -2) / size, rng.normal(size=(3, size))
    inverted = np.linalg.inv(matrix)
    np.testing.assert_allclose(inverse(jnp.asarray(matrix)), inverted, atol=2e-4)
    np.testing.assert_allclose(
        solve(jnp.asarray(matrix), jnp.asarray(vector)), (inverted @ vector[..., None])[..., 0], atol=2e-3
    )


def test_a_column_that_is_the_sum_of_others_is_solved_for():
    columns = np.random.default_rng(1).normal(size=(50, 3))
    columns = np.concatenate([columns, columns.sum(1, keepdims=True)], 1)
    found = solve(jnp.asarray(1e6 * columns.T @ columns)[None], jnp.asarray(1e6 * columns.T @ columns[:, 0])[None])
    np.testing.assert_allclose(columns @ np.asarray(found[0]), columns[:, 0], atol=1e-2)


@pytest.mark.parametrize("function", [lambda m, v: solve(m, v), lambda m, _: inverse(m)], ids=["solve", "inverse"])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.vmap, jax.jit, lambda f: lambda *x: jax.lax.map(lambda y: f(*y), x)])
def test_gradients_are_those_of_finite_differences(function, wrap):
    matrix, vector = _systems()
    with jax.enable_x64():
        arguments = jnp.asarray(matrix + np.eye(4)), jnp.asarray(vector)
        check_grads(wrap(function), arguments, order=1, modes=["rev"], atol=1e-4, rtol=1e-4)


def test_the_gradient_in_a_matrix_is_symmetric():
    matrix, vector = (jnp.asarray(x) for x in _systems())
    for gradient in (jax.grad(lambda m: solve(m, vector)[..., 0].sum()), jax.grad(lambda m: inverse(m)[..., 0].sum())):
        found = gradient(matrix)
        np.testing.assert_allclose(found, jnp.swapaxes(found, -1, -2), rtol=1e-4)


def test_systems_solved_at_once_do_not_wait_for_each_other():
    processes.run([sys.executable, "-c", _AT_ONCE], check=True)
