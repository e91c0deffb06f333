"""`ChoiceMixer`: mixes the choice probabilities of a user's own weights with those of similar users, for scoring.

    logit = scale * log [(1 - share) own + share * sum of w_v p_v]

The state of a user is [weights | w | share, scale]: weights on the answer features, the weights of the known users
(`similar_users`), and what `transfer.Transfer` gives for the length of the user's history.
"""

import collections
import dataclasses

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.model.likelihood import MIN_SHARE
from prouter_jax.model.query_batch import QueryBatch

_QUERIES_AT_ONCE = 64  # bounds the memory of the known users' choice probabilities
_CACHED_BYTES = 1 << 26  # of users' coefficients


@dataclasses.dataclass(frozen=True)
class ChoiceMixer:
    """Known users, and what they would choose.

    Attributes:
      known: weights of the known users, float32 [known, features].
      sharpness: inverse temperature of their choices, in 1 / utility.
      mean: their mean choice probabilities over known queries, [known, llms].
      coefficients: of the kernel regression of these, [known, landmarks, llms].
      cache: (mean, coefficients) of recent users of single requests, weighted over the known users, by the bytes of
        their weights; it holds at most 64 MiB.
    """

    known: np.ndarray
    sharpness: float
    mean: np.ndarray
    coefficients: np.ndarray
    cache: collections.OrderedDict = dataclasses.field(default_factory=collections.OrderedDict, repr=False)

    def logits(
        self,
        own: Float[np.ndarray, "decisions llms"],
        states: Float[np.ndarray, "users width"],
        asked: QueryBatch,
        user: Int[np.ndarray, " decisions"],
        place: Int[np.ndarray, " decisions"],
    ) -> Float[np.ndarray, "decisions llms"]:
        """Returns the logits of the mixed choice probabilities.

        Args:
          own: logits by the users' own weights.
          states: states of users.
          asked: the queries.
          user, place: rows of each decision's user in `states` and query in `asked`.
        """
        weights = states[:, self.known.shape[1] : -2]
        if len(user) == 1 and asked.kernel is not None and not asked.known[place[0]]:
            similar = self._similar_of_request(weights[user[0]], asked.kernel[place[0]])
        else:
            similar = self._similar(weights, asked, user, place)
        share, scale = states[user, -2, None], states[user, -1, None]
        mixed = (1 - share) * _softmax(own) + share * similar
        return scale * np.log(np.maximum(mixed, np.float32(MIN_SHARE)))

    def _similar_of_request(self, weights: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """As `_similar` for a new query: the known users are summed once for a user, not for each request."""
        key = weights.tobytes()
        found = self.cache.pop(key, None)
        if found is None:
            found = weights @ self.mean, np.tensordot(weights, self.coefficients, 1)
        self.cache[key] = found
        while len(self.cache) * (found[1].nbytes + len(key)) > _CACHED_BYTES:
            self.cache.popitem(last=False)
        return (found[0] + kernel @ found[1])[None]

    def _similar(self, weights: np.ndarray, asked: QueryBatch, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Choice probabilities by similar users, a product of matrices for each query; [decisions, llms]."""
        found = np.empty((len(user), self.mean.shape[1]), np.float32)
        order = np.argsort(place, kind="stable")
        distinct, starts = np.unique(place[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for first in range(0, len(distinct), _QUERIES_AT_ONCE):
            chunk = slice(first, first + _QUERIES_AT_ONCE)
            for shares, start, end in zip(
                self._shares(asked, distinct[chunk]), starts[chunk], ends[chunk], strict=True
            ):
                rows = order[start:end]
                found[rows] = weights[user[rows]] @ shares
        return found

    def _shares(self, asked: QueryBatch, rows: np.ndarray) -> np.ndarray:
        """The known users' choice probabilities on some queries, regressed on new ones; [queries, known, llms]."""
        utility = np.einsum("qlp,vp->qvl", asked.answers[rows], self.known, optimize=True)
        found = _softmax(np.float32(self.sharpness) * utility)
        new = ~asked.known[rows]
        if new.any() and asked.kernel is not None:
            kernel = asked.kernel[rows[new]]
            found[new] = self.mean + np.einsum("qm,vml->qvl", kernel, self.coefficients, optimize=True)
        return found


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis; SciPy's own would be all that scoring needs of SciPy, whose import takes 0.2 s."""
    unnormed = np.exp(logits - logits.max(-1, keepdims=True))
    return unnormed / unnormed.sum(-1, keepdims=True)
