"""Kernel ridge regression over queries: predicts values of a new query from known queries with similar texts.

The prediction is mean + k(new, known) (K + noise I)^-1 (values - mean), also the posterior mean of a Gaussian process,
with K = k(known, known) and the kernel

    k(q, r) = exp(-text |v_q - v_r|^2 - style |s_q - s_r|^2) (1 + [same task]) + task [same task]

for text embeddings v and style features s of the queries. For a query unlike all known queries it is the mean.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from prouter_jax.config import QueryKernel
from prouter_jax.data.query_features import QueryFeatures

_MIN_SHARE = 1e-4  # of a predicted choice probability, before the logarithm
_USERS_AT_ONCE = 128  # one compiled shape


@struct.dataclass
class KnownQueryKernel:
    """Known queries and the Cholesky factor of their regularised kernel matrix.

    Attributes:
      queries: features of the known queries.
      rows: their rows among all queries of the graph, [known].
      factor: lower Cholesky factor of K + noise I, [known, known].
      scales: the coefficients (text, style, task) of the kernel.
      num_tasks: the number of tasks; the task row of a query without one.
    """

    queries: QueryFeatures
    rows: np.ndarray
    factor: jax.Array
    scales: tuple[float, float, float] = struct.field(pytree_node=False)
    num_tasks: int = struct.field(pytree_node=False)


def make_query_kernel(places: QueryFeatures, num_tasks: int, config: QueryKernel) -> KnownQueryKernel:
    """Factorises the kernel matrix of known queries.

    Args:
      places: features of the known queries; a random `config.most_queries` of them are used if there are more.
    """
    rows = np.arange(len(places.task))
    if len(rows) > config.most_queries:
        rows = np.sort(np.random.default_rng(0).choice(rows, config.most_queries, replace=False))
    known = jax.device_put(places.take(rows))
    scales = (config.text, config.style, config.task)
    factor = _factor(known, scales, num_tasks, config.noise)
    return KnownQueryKernel(known, rows, factor, scales, num_tasks)


def kernel_to(kernel: KnownQueryKernel, places: QueryFeatures) -> Float[Array, "new known"]:
    """Returns k(new, known) for the features of new queries."""
    return _kernel(places, kernel.queries, kernel.scales, kernel.num_tasks)


def coefficients(
    kernel: KnownQueryKernel, deviations: Float[Array | np.ndarray, "known ..."]
) -> Float[Array, "known ..."]:
    """Returns (K + noise I)^-1 deviations; `kernel_to` times these is the predicted deviation of new queries."""
    return _solve(kernel.factor, deviations)


@dataclasses.dataclass(frozen=True)
class SharePredictor:
    """Predicts users' choice probabilities on new queries by kernel regression over their probabilities on known ones.

    Attributes:
      kernel: the known queries.
      answers: features of the answers to them, [known, llms, features].
      sharpness: inverse temperature of choices, in 1 / utility.
    """

    kernel: KnownQueryKernel
    answers: jax.Array
    sharpness: float

    def logits(
        self,
        users: Float[np.ndarray, "users features"],
        kernel: Float[np.ndarray, "queries known"],
        user: Int[np.ndarray, " decisions"],
        place: Int[np.ndarray, " decisions"],
    ) -> Float[np.ndarray, "decisions llms"]:
        """Returns the log of the predicted choice probability of each LLM.

        Args:
          users: weights of users.
          kernel: what `kernel_to` returns for the new queries.
          user: row of each decision's user in `users`.
          place: row of each decision's query in `kernel`.
        """
        shares = np.empty((len(user), self.answers.shape[1]), np.float32)
        order = np.argsort(user, kind="stable")
        distinct, starts = np.unique(user[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for first in range(0, len(distinct), _USERS_AT_ONCE):
            chunk = slice(first, first + _USERS_AT_ONCE)
            mean, weights = self._regress(users[distinct[chunk]])
            for row, (start, end) in enumerate(zip(starts[chunk], ends[chunk], strict=True)):
                rows = order[start:end]
                shares[rows] = mean[row] + kernel[place[rows]] @ weights[row]
        return np.log(np.maximum(shares, _MIN_SHARE))

    def _regress(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean probabilities [users, llms] and regression coefficients [users, known, llms], padded to one shape."""
        padded = np.zeros((_USERS_AT_ONCE, theta.shape[1]), np.float32)
        padded[: len(theta)] = theta
        mean, weights = _regress_shares(self.kernel, self.answers, padded, self.sharpness)
        return np.asarray(mean)[: len(theta)], np.asarray(weights)[: len(theta)]


@jax.jit
def _solve(factor: jax.Array, deviations: jax.Array) -> jax.Array:
    flat = deviations.reshape(len(factor), -1)
    return jax.scipy.linalg.cho_solve((factor, True), flat).reshape(deviations.shape)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _factor(places: QueryFeatures, kernel: tuple, num_tasks: int, noise: float) -> jax.Array:
    return jnp.linalg.cholesky(_kernel(places, places, kernel, num_tasks) + noise * jnp.eye(len(places.task)))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _kernel(first: QueryFeatures, second: QueryFeatures, kernel: tuple, num_tasks: int) -> jax.Array:
    text, style, task = kernel
    distance = text * _squared_distances(first.vectors, second.vectors)
    distance += style * _squared_distances(first.style, second.style)
    same = (first.task[:, None] == second.task[None, :]) & (first.task < num_tasks)[:, None]
    return jnp.exp(-distance) * (1 + same) + task * same


def _squared_distances(first: jax.Array | np.ndarray, second: jax.Array | np.ndarray) -> jax.Array:
    """|first_i - second_j|^2 of all pairs of rows."""
    squares = [jnp.square(x).sum(1) for x in (first, second)]
    return jnp.maximum(squares[0][:, None] + squares[1][None, :] - 2 * first @ second.T, 0)


@jax.jit
def _regress_shares(kernel: KnownQueryKernel, answers: jax.Array, theta: jax.Array, sharpness: float):
    shares = jax.nn.softmax(sharpness * jnp.einsum("up,qlp->qul", theta, answers), axis=-1)
    mean = shares.mean(0)
    return mean, jnp.moveaxis(coefficients(kernel, shares - mean), 0, 1)
