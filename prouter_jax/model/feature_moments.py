"""Second moments of answer features around the means of decisions: the sums in the curvature of feedback.

For users who share their queries they are matrix products of the pairs of columns (each pair once, for the matrix is
symmetric) with the users' weights. One-hot columns of the LLMs need no pairs where candidate c is LLM c: their block is
the diagonal of summed weights, and their block with the other columns is a sum for each LLM. So the work grows with
the square of the number of the other columns.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_ROWS_AT_ONCE = 1 << 15  # answers whose pairs of columns are in memory at the same time


def centred_moment(
    answers: Float[Array, "decisions candidates features"],
    weight: Float[Array, "decisions candidates *users"],
    share: Float[Array, "decisions candidates *users"],
    one_hot: slice | None = None,
) -> Float[Array, "*users features features"]:
    """Returns the sum over decisions of (sum over candidates of weight * a a') - m m', with m that of share * a.

    With weight = share = the probabilities of choices it is the covariance of a under them.

    Args:
      one_hot: the columns that are 1 for candidate c in its c-th column, else 0; only for users who share queries.
    """
    if weight.ndim == 2:
        flat, mean = answers.reshape(-1, answers.shape[-1]), jnp.einsum("kca,kc->ka", answers, share)
        return (flat * weight.reshape(-1, 1)).T @ flat - mean.T @ mean
    columns = np.arange(answers.shape[-1])
    llms = columns[one_hot or slice(0, 0)]
    order = np.concatenate([np.delete(columns, llms), llms])
    total = _sum_blocks(answers[..., order[: len(order) - len(llms)]], weight, share, len(llms))
    back = np.argsort(order)
    return total[:, back[:, None], back] if len(llms) else total


def _sum_blocks(dense: jax.Array, weight: jax.Array, share: jax.Array, llms: int) -> jax.Array:
    """Sums over blocks of decisions; the one-hot columns come last."""
    decisions, candidates, size = dense.shape
    blocks = -(-decisions * candidates // _ROWS_AT_ONCE)
    if blocks <= 1:
        return _block(dense, weight, share, llms)
    padding = ((0, -decisions % blocks), (0, 0), (0, 0))
    parts = [jnp.pad(x, padding).reshape(blocks, -1, candidates, x.shape[-1]) for x in (dense, weight, share)]
    zeros = jnp.zeros((weight.shape[-1], size + llms, size + llms), dense.dtype)
    return jax.lax.scan(lambda total, part: (total + _block(part[0], part[1], part[2], llms), None), zeros, parts)[0]


def _block(dense: jax.Array, weight: jax.Array, share: jax.Array, llms: int) -> jax.Array:
    mean = jnp.einsum("kcu,kca->uka", share, dense)
    if llms:
        mean = jnp.concatenate([mean, jnp.moveaxis(share, -1, 0)], -1)  # the mean of a one-hot column is a share
    return _moment(dense, weight, llms) - jnp.einsum("uka,ukb->uab", mean, mean)


def _moment(dense: jax.Array, weight: jax.Array, llms: int) -> jax.Array:
    """Second moments about 0, [users, features, features]."""
    size, users = dense.shape[-1], weight.shape[-1]
    rows, columns = np.triu_indices(size)
    pairs = (dense[..., rows] * dense[..., columns]).reshape(-1, len(rows))
    index = np.empty((size, size), np.int32)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    moment = (weight.reshape(-1, users).T @ pairs)[:, index]
    if not llms:
        return moment
    cross = jnp.einsum("kcu,kca->uca", weight, dense)
    diagonal = weight.sum(0).T[:, :, None] * jnp.eye(llms, dtype=weight.dtype)
    above = jnp.concatenate([moment, jnp.swapaxes(cross, 1, 2)], 2)
    return jnp.concatenate([above, jnp.concatenate([cross, diagonal], 2)], 1)
