"""Predicts users' choice probabilities on new queries by kernel regression over their probabilities on known ones."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from prouter_jax.model.likelihood import MIN_SHARE
from prouter_jax.model.query_kernel import KnownQueryKernel, solution_matrix, solved_coefficients

_USERS_AT_ONCE = 128  # at most; compiled for this many users, and for one user: a request
_SHARES_AT_ONCE = 1 << 24  # at most, where there are many known queries
_CACHED_BYTES = 1 << 28  # of coefficients: 13,000 users with 512 landmarks and 10 LLMs


@dataclasses.dataclass(frozen=True)
class SharePredictor:
    """Regresses choice probabilities.

    A user's coefficients cost a pass over all known queries. They are kept: each next request of this user costs the
    product of the query's kernel values with them, whatever the number of known queries.

    Attributes:
      kernel: the known queries.
      answers: features of the answers to them, [known, llms, features].
      sharpness: inverse temperature of choices, in 1 / utility.
      cache: (mean, coefficients) of recent users by the bytes of their weights, the least recently used first; it holds
        at most 256 MiB.
    """

    kernel: KnownQueryKernel
    answers: jax.Array
    sharpness: float
    cache: collections.OrderedDict = dataclasses.field(default_factory=collections.OrderedDict, repr=False)

    @functools.cached_property
    def _solution(self) -> Float[Array, "landmarks landmarks"]:
        return solution_matrix(self.kernel)

    def logits(
        self,
        users: Float[np.ndarray, "users features"],
        kernel: Float[np.ndarray, "queries landmarks"],
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
        at_once = self._users_at_once()
        for first in range(0, len(distinct), at_once):
            chunk = slice(first, first + at_once)
            regressed = self._recall(users[distinct[chunk]])
            for (mean, weights), start, end in zip(regressed, starts[chunk], ends[chunk], strict=True):
                rows = order[start:end]
                shares[rows] = mean + kernel[place[rows]] @ weights
        return np.log(np.maximum(shares, MIN_SHARE))

    def _users_at_once(self) -> int:
        return max(1, min(_USERS_AT_ONCE, _SHARES_AT_ONCE // (self.answers.shape[0] * self.answers.shape[1])))

    def _recall(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean probabilities [llms] and coefficients [landmarks, llms] of each user, from the cache if there."""
        keys = [row.tobytes() for row in theta]
        found = [self.cache.pop(key, None) for key in keys]
        new = [row for row, entry in enumerate(found) if entry is None]
        if new:
            for row, entry in zip(new, self._regress(theta[new]), strict=True):
                found[row] = entry
        self.cache.update(zip(keys, found, strict=True))
        size = 4 * (theta.shape[1] + (len(self.kernel.factor) + 1) * self.answers.shape[1])
        while len(self.cache) * size > _CACHED_BYTES:
            self.cache.popitem(last=False)
        return found

    def _regress(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `_recall`, computed for one user, or for several padded to one shape."""
        padded = np.zeros((1 if len(theta) == 1 else self._users_at_once(), theta.shape[1]), np.float32)
        padded[: len(theta)] = theta
        arguments = (self.kernel, self._solution, self.answers, padded, self.sharpness)
        mean, weights = (np.asarray(x) for x in _regress_shares(*arguments))
        return [(mean[row].copy(), weights[row].copy()) for row in range(len(theta))]  # no views of the whole


@jax.jit
def _regress_shares(
    kernel: KnownQueryKernel, solution: jax.Array, answers: jax.Array, theta: jax.Array, sharpness: float
) -> tuple[Float[Array, "users llms"], Float[Array, "users landmarks llms"]]:
    shares = jax.nn.softmax(sharpness * jnp.einsum("up,qlp->qul", theta, answers), axis=-1)
    mean = shares.mean(0)
    return mean, jnp.moveaxis(solved_coefficients(kernel, solution, shares - mean), 0, 1)
