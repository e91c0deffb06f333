"""How a user would choose on a query that nobody asked yet: as it would choose on the known queries near it.

A share of choices is a kink away from a utility: an LLM whose answers are now loved, now hated is chosen more often
than one that is always fair. So the shares are foreseen, not the utilities: for each known query the user's
probabilities of choosing each LLM's answer there, and these reach the new query along the edges between near texts.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.bayes.near import NearQueries, coefficients

_LEAST_SHARE = 1e-4
_USERS_AT_ONCE = 128


@dataclasses.dataclass(frozen=True)
class Foresight:
    """Known queries and the properties of their answers, [known queries of `near`, llms, properties]."""

    near: NearQueries
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
        base, told = _shares(self.near, self.answers, jnp.asarray(padded), self.sharpness)
        return np.asarray(base)[: len(theta)], np.asarray(told)[: len(theta)]


@jax.jit
def _shares(near: NearQueries, answers: jax.Array, theta: jax.Array, sharpness: float):
    shares = jax.nn.softmax(sharpness * jnp.einsum("up,qlp->qul", theta, answers), axis=-1)
    base = shares.mean(0)
    return base, jnp.moveaxis(coefficients(near, shares - base), 0, 1)
