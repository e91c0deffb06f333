"""Second moments of answer features around the means of decisions: the sums in the curvature of feedback.

For users who share their queries they are matrix products of the pairs of columns (each pair once, for the matrix is
symmetric) with the users' weights. The states of LLMs (`llm_states`) need no pairs where candidate c is LLM c: with S
the states, their block is S' diag(summed weights) S, and their block with the other columns is S' times a sum for each
LLM. So the work grows with the square of the number of the other columns.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from prouter_jax.model.llm_states import StateColumns

_ROWS_AT_ONCE = 1 << 15  # answers whose pairs of columns are in memory at the same time


def centred_moment(
    answers: Float[Array, "decisions candidates features"],
    weight: Float[Array, "decisions candidates *users"],
    share: Float[Array, "decisions candidates *users"],
    states: StateColumns | None = None,
) -> Float[Array, "*users features features"]:
    """Returns the sum over decisions of (sum over candidates of weight * a a') - m m', with m that of share * a.

    With weight = share = the probabilities of choices it is the covariance of a under them.

    Args:
      states: the columns that are the states of LLMs; only for users who share queries.
    """
    if weight.ndim == 2:
        flat, mean = answers.reshape(-1, answers.shape[-1]), jnp.einsum("kca,kc->ka", answers, share)
        return (flat * weight.reshape(-1, 1)).T @ flat - mean.T @ mean
    columns = np.arange(answers.shape[-1])
    if states is None:
        return _sum_blocks(answers, weight, share, None)
    of_llms = columns[states.columns]
    others = np.delete(columns, of_llms)
    total = _sum_blocks(answers[..., others], weight, share, states)
    back = np.argsort(np.concatenate([others, of_llms]))
    return total[:, back[:, None], back]


def _sum_blocks(dense: jax.Array, weight: jax.Array, share: jax.Array, states: StateColumns | None) -> jax.Array:
    """Sums over blocks of decisions; the columns of states come last."""
    decisions, candidates, size = dense.shape
    blocks = -(-decisions * candidates // _ROWS_AT_ONCE)
    if blocks <= 1:
        return _block(dense, weight, share, states)
    padding = ((0, -decisions % blocks), (0, 0), (0, 0))
    parts = [jnp.pad(x, padding).reshape(blocks, -1, candidates, x.shape[-1]) for x in (dense, weight, share)]
    size += 0 if states is None else states.columns.stop - states.columns.start
    zeros = jnp.zeros((weight.shape[-1], size, size), dense.dtype)
    return jax.lax.scan(lambda total, part: (total + _block(part[0], part[1], part[2], states), None), zeros, parts)[0]


def _block(dense: jax.Array, weight: jax.Array, share: jax.Array, states: StateColumns | None) -> jax.Array:
    mean = jnp.einsum("kcu,kca->uka", share, dense)
    if states is not None:
        mean = jnp.concatenate([mean, _of_states(jnp.moveaxis(share, -1, 0), states)], -1)
    return _moment(dense, weight, states) - jnp.einsum("uka,ukb->uab", mean, mean)


def _moment(dense: jax.Array, weight: jax.Array, states: StateColumns | None) -> jax.Array:
    """Second moments about 0, [users, features, features]."""
    size, users = dense.shape[-1], weight.shape[-1]
    rows, columns = np.triu_indices(size)
    pairs = (dense[..., rows] * dense[..., columns]).reshape(-1, len(rows))
    index = np.empty((size, size), np.int32)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    moment = (weight.reshape(-1, users).T @ pairs)[:, index]
    if states is None:
        return moment
    cross = _of_states(jnp.einsum("kcu,kca->uac", weight, dense), states)
    total = weight.sum(0).T
    if states.states is None:
        own = total[:, :, None] * jnp.eye(total.shape[1], dtype=weight.dtype)
    else:
        own = jnp.einsum("uc,ca,cb->uab", total, states.states, states.states)
    above = jnp.concatenate([moment, cross], 2)
    return jnp.concatenate([above, jnp.concatenate([jnp.swapaxes(cross, 1, 2), own], 2)], 1)


def _of_states(by_llm: jax.Array, states: StateColumns) -> jax.Array:
    """Sums of LLMs' states weighted by a number for each LLM: [..., llms] to [..., columns]."""
    return by_llm if states.states is None else by_llm @ states.states
