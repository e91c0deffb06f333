"""Kernel ridge regression over queries: predicts values of a new query from known queries with similar texts.

The prediction is mean + k(new, known) (K + noise I)^-1 (values - mean), also the posterior mean of a Gaussian process,
with K = k(known, known) and the kernel

    k(q, r) = exp(-text |v_q - v_r|^2 - style |s_q - s_r|^2) (1 + [same task]) + task [same task]

for text embeddings v and style features s of the queries. For a query unlike all known queries it is the mean.

Where there are more known queries than landmarks, the kernel is replaced by its Nystroem approximation

    k(q, L) K_LL^-1 k(L, r) = f(q) . f(r),    f(q) = C^-1 k(L, q),    K_LL = C C'

over the landmarks L (subset of regressors: Quinonero-Candela and Rasmussen 2005, JMLR 6). All known queries count: the
prediction is mean + k(new, L) C^-T (F'F + noise I)^-1 F' (values - mean) with a row f(r) of F for each of them.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float, Int

from prouter_jax.config import QueryKernel
from prouter_jax.data.query_features import QueryFeatures

_JITTER = 1e-5  # relative to the largest variance; K_LL is nearly singular where landmarks are much alike


class Scales(NamedTuple):
    """The coefficients of the kernel: numbers, or arrays of one number, which may be traced."""

    text: Float[Array, ""] | float
    style: Float[Array, ""] | float
    task: Float[Array, ""] | float


@struct.dataclass
class LowRank:
    """The features of the known queries, where these are more than the landmarks.

    Attributes:
      features: F, [known, landmarks].
      root: C, the lower Cholesky factor of K_LL, [landmarks, landmarks].
    """

    features: jax.Array
    root: jax.Array


@struct.dataclass
class KnownQueryKernel:
    """A kernel regression over known queries, made for values that come later.

    Attributes:
      queries: features of the landmarks; these are all known queries unless there is `low_rank`.
      factor: lower Cholesky factor of K + noise I, or of F'F + noise I, [landmarks, landmarks].
      low_rank: None if all known queries are landmarks.
      scales: the coefficients of the kernel.
      num_tasks: the number of tasks; the task row of a query without one.
    """

    queries: QueryFeatures
    factor: jax.Array
    low_rank: LowRank | None
    scales: Scales
    num_tasks: int = struct.field(pytree_node=False)


def make_query_kernel(
    places: QueryFeatures,
    num_tasks: int,
    scales: Scales,
    noise: Float[Array, ""] | float,
    landmarks: Int[np.ndarray, " landmarks"],
) -> KnownQueryKernel:
    """Factorises the kernel matrix of known queries; differentiable in `scales`, `noise` and the text vectors.

    Args:
      places: features of the known queries.
      noise: variance of the values' noise, the ridge.
      landmarks: rows of the landmarks among them, see `choose_landmarks`; all rows for no approximation.
    """
    places = jax.device_put(places)  # jnp.asarray would compile a program for each array
    numbers: list[Any] = [scale if isinstance(scale, jax.Array) else np.float32(scale) for scale in scales]
    scales = Scales(*numbers)
    if len(landmarks) == len(places.task):
        return KnownQueryKernel(places, _factor(places, scales, num_tasks, noise), None, scales, num_tasks)
    chosen = places.take(landmarks)
    low_rank, factor = _low_rank(places, chosen, scales, num_tasks, noise)
    return KnownQueryKernel(chosen, factor, low_rank, scales, num_tasks)


def scales_of(config: QueryKernel) -> Scales:
    """The coefficients that a configuration gives."""
    return Scales(config.text, config.style, config.task)


def kernel_to(kernel: KnownQueryKernel, places: QueryFeatures) -> Float[Array, "new landmarks"]:
    """Returns k(new, landmarks) for the features of new queries."""
    return kernel_values(places, kernel.queries, kernel.scales, kernel.num_tasks)


@jax.jit
def coefficients(
    kernel: KnownQueryKernel, deviations: Float[Array | np.ndarray, "known ..."]
) -> Float[Array, "landmarks ..."]:
    """Returns coefficients; `kernel_to` times these is the predicted deviation of new queries from the mean."""
    flat = deviations.reshape(len(deviations), -1)
    if kernel.low_rank is None:
        solved = cho_solve((kernel.factor, True), flat)
    else:
        weights = cho_solve((kernel.factor, True), kernel.low_rank.features.T @ flat)
        solved = solve_triangular(kernel.low_rank.root, weights, lower=True, trans=1)
    return solved.reshape(-1, *deviations.shape[1:])


@jax.jit
def solution_matrix(kernel: KnownQueryKernel) -> Float[Array, "landmarks landmarks"]:
    """Returns what `solved_coefficients` needs."""
    identity = jnp.eye(len(kernel.factor))
    solved = cho_solve((kernel.factor, True), identity)
    return solved if kernel.low_rank is None else solve_triangular(kernel.low_rank.root, solved, lower=True, trans=1)


def solved_coefficients(
    kernel: KnownQueryKernel, matrix: Float[Array, "landmarks landmarks"], deviations: Float[Array, "known ..."]
) -> Float[Array, "landmarks ..."]:
    """Returns what `coefficients` does, for a request: by a product, a fiftieth of the time of solving anew.

    Args:
      matrix: the `solution_matrix`.
    """
    flat = deviations.reshape(len(deviations), -1)
    flat = flat if kernel.low_rank is None else kernel.low_rank.features.T @ flat
    return (matrix @ flat).reshape(-1, *deviations.shape[1:])


def regression_weights(
    matrix: Float[np.ndarray, "known known"], nearness: Float[np.ndarray, "new known"]
) -> Float[np.ndarray, "new known"]:
    """Returns the weights of the values of known queries in the prediction for new ones; rows sum to 1.

    Args:
      matrix: the `solution_matrix` of a kernel of which all known queries are landmarks.
      nearness: what `kernel_to` returns for the new queries.
    """
    weights = nearness @ matrix
    return weights + (1 - weights.sum(1, keepdims=True)) / weights.shape[1]


@jax.jit
def predict_values(
    kernel: KnownQueryKernel,
    means: Float[Array, "tasks ..."],
    weights: Float[Array, "landmarks ..."],
    places: QueryFeatures,
) -> tuple[Float[Array, "new ..."], Float[Array, "new landmarks"]]:
    """Predicts the values of new queries: the mean of the task plus the regressed deviation.

    Args:
      means: by task, the last row for none.
      weights: what `coefficients` returns for the deviations of the known queries.
      places: features of the new queries.

    Returns:
      The values, and what `kernel_to` returns: one call for both, since each costs more than its computation.
    """
    nearness = kernel_to(kernel, places)
    flat = nearness @ weights.reshape(len(weights), -1)
    return means[places.task] + flat.reshape(-1, *weights.shape[1:]), nearness


@functools.partial(jax.jit, static_argnums=3)
def kernel_values(
    first: QueryFeatures, second: QueryFeatures, scales: Scales, num_tasks: int
) -> Float[Array, "first second"]:
    """Returns k of all pairs of rows."""
    distance = scales.text * _squared_distances(first.vectors, second.vectors)
    distance += scales.style * _squared_distances(first.style, second.style)
    same = (first.task[:, None] == second.task[None, :]) & (first.task < num_tasks)[:, None]
    return jnp.exp(-distance) * (1 + same) + scales.task * same


@functools.partial(jax.jit, static_argnums=2)
def _factor(places: QueryFeatures, scales: Scales, num_tasks: int, noise: jax.Array | float) -> jax.Array:
    return jnp.linalg.cholesky(kernel_values(places, places, scales, num_tasks) + noise * jnp.eye(len(places.task)))


@functools.partial(jax.jit, static_argnums=3)
def _low_rank(
    places: QueryFeatures, chosen: QueryFeatures, scales: Scales, num_tasks: int, noise: jax.Array | float
) -> tuple[LowRank, jax.Array]:
    """The features of the known queries, and the lower Cholesky factor of F'F + noise I."""
    number = len(chosen.task)
    root = _factor(chosen, scales, num_tasks, _JITTER * (2 + scales.task))
    features = solve_triangular(root, kernel_values(chosen, places, scales, num_tasks), lower=True).T
    return LowRank(features, root), jnp.linalg.cholesky(features.T @ features + noise * jnp.eye(number))


def _squared_distances(first: jax.Array | np.ndarray, second: jax.Array | np.ndarray) -> jax.Array:
    """|first_i - second_j|^2 of all pairs of rows."""
    squares = [jnp.square(x).sum(1) for x in (first, second)]
    return jnp.maximum(squares[0][:, None] + squares[1][None, :] - 2 * first @ second.T, 0)
