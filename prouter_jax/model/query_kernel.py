"""What known queries say of a new one: messages along the edges between near texts.

The weights of the messages are those of kernel ridge regression, k(new, known) (K + noise I)^-1, with

    k(q, r) = exp(-text |v_q - v_r|^2 - style |s_q - s_r|^2) (1 + [same task]) + task [same task]

for text vectors v and the measured style s of the texts: near queries count, queries that are near each other share.
What they carry is told as a deviation from a mean, so that a query unlike any other gets the mean.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prouter_jax.config import QueryKernel
from prouter_jax.data.query_features import QueryFeatures


@struct.dataclass
class KnownQueryKernel:
    """Known queries and the factor of their regularised kernel.

    Attributes:
      places: of the known queries that send messages.
      rows: which of all known queries these are.
      factor: lower Cholesky factor of K + noise I.
    """

    places: QueryFeatures
    rows: np.ndarray
    factor: jax.Array
    kernel: tuple[float, float, float] = struct.field(pytree_node=False)
    num_tasks: int = struct.field(pytree_node=False)


def make_query_kernel(places: QueryFeatures, num_tasks: int, config: QueryKernel) -> KnownQueryKernel:
    """Prepares messages from `places`, or from `config.most_queries` of them by chance where there are more."""
    rows = np.arange(len(places.task))
    if len(rows) > config.most_queries:
        rows = np.sort(np.random.default_rng(0).choice(rows, config.most_queries, replace=False))
    senders = jax.device_put(places.take(rows))
    kernel = (config.text, config.style, config.task)
    return KnownQueryKernel(senders, rows, _factor(senders, kernel, num_tasks, config.noise), kernel, num_tasks)


def kernel_to(kernel: KnownQueryKernel, places: QueryFeatures) -> jax.Array:
    """k(new, known): [new queries, known queries]."""
    return _kernel(places, kernel.places, kernel.kernel, kernel.num_tasks)


def coefficients(kernel: KnownQueryKernel, deviations: jax.Array | np.ndarray) -> jax.Array:
    """(K + noise I)^-1 deviations, for deviations [known queries, ...]; `kernel_to` times these is the message."""
    return _solve(kernel.factor, deviations)


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
    far = text * _distances(first.vectors, second.vectors) + style * _distances(first.style, second.style)
    same = (first.task[:, None] == second.task[None, :]) & (first.task < num_tasks)[:, None]
    return jnp.exp(-far) * (1 + same) + task * same


def _distances(first: jax.Array | np.ndarray, second: jax.Array | np.ndarray) -> jax.Array:
    """Squared distances of all pairs."""
    squares = [jnp.square(x).sum(1) for x in (first, second)]
    return jnp.maximum(squares[0][:, None] + squares[1][None, :] - 2 * first @ second.T, 0)


_LEAST_SHARE = 1e-4
_USERS_AT_ONCE = 128


@dataclasses.dataclass(frozen=True)
class SharePredictor:
    """Known queries and the properties of their answers, [known queries of `near`, llms, properties]."""

    kernel: KnownQueryKernel
    answers: jax.Array
    sharpness: float

    def logits(self, users: np.ndarray, kernel: np.ndarray, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Log of the foreseen share of each LLM, float32 [decisions, llms].

        Args:
          users: theta [users, properties]; kernel: nearness to known queries, [queries, known queries].
          user, place: rows of these, [decisions].
        """
        shares = np.empty((len(user), self.answers.shape[1]), np.float32)
        order = np.argsort(user, kind="stable")
        asked, starts = np.unique(user[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for first in range(0, len(asked), _USERS_AT_ONCE):
            some = slice(first, first + _USERS_AT_ONCE)
            base, told = self._of_users(users[asked[some]])
            for row, (start, end) in enumerate(zip(starts[some], ends[some], strict=True)):
                rows = order[start:end]
                shares[rows] = base[row] + kernel[place[rows]] @ told[row]
        return np.log(np.maximum(shares, _LEAST_SHARE))

    def _of_users(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean shares [users, llms], and the coefficients of the deviations from them [users, known queries, llms]."""
        padded = np.zeros((_USERS_AT_ONCE, theta.shape[1]), np.float32)
        padded[: len(theta)] = theta
        base, told = _shares(self.kernel, self.answers, padded, self.sharpness)
        return np.asarray(base)[: len(theta)], np.asarray(told)[: len(theta)]


@jax.jit
def _shares(kernel: KnownQueryKernel, answers: jax.Array, theta: jax.Array, sharpness: float):
    shares = jax.nn.softmax(sharpness * jnp.einsum("up,qlp->qul", theta, answers), axis=-1)
    base = shares.mean(0)
    return base, jnp.moveaxis(coefficients(kernel, shares - base), 0, 1)
