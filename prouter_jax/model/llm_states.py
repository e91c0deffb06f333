"""States of LLMs: columns of fixed number that users' weights on an LLM are multiplied with.

In a small pool the state of an LLM is its one-hot column, so users have a weight for each LLM. In a large pool it has
`STATE_SIZE` columns, a quarter each for what the LLM costs, how it is described, which family it is of, and itself:

    phi = 1/2 [cosines of log prices | cosines of the text vector | random row of its family | random row of its own]

The cosine features sqrt(2 / n) cos(w . x + b) with w ~ Normal(0, 2 c I) and b uniform approximate the kernel
exp(-c |x - y|^2) (Rahimi and Recht 2007, "Random features for large-scale kernel machines"), so LLMs alike in price,
description or family share a part of each user's weights. A state depends on the LLM alone, not on the rest of the
pool. An LLM that comes after training has a column of its own beside it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from prouter_jax.graph.build import LLM_NUMBERS
from prouter_jax.graph.schema import RouterGraph

STATE_SIZE = 32  # columns of an LLM's state; a pool of no more LLMs has one-hot columns
_PRICE_SCALE, _TEXT_SCALE = 0.3, 1.0  # c, for log prices and for text vectors
_SEED = 0


class StateColumns(NamedTuple):
    """Which columns of an answer's features are the state of its LLM, where candidate c of every decision is LLM c.

    Attributes:
      columns: the columns.
      states: [llms, columns]; None for one-hot columns.
    """

    columns: slice
    states: Array | None


@struct.dataclass
class NewLlms:
    """How users' weights on LLMs that training did not offer count the uncertainty of their utility.

    The utility of a trained LLM varies less, for a user's decisions tell it, so without correction too few choices of
    new LLMs would be predicted. With sharpness s, log E exp(s u) = s E u + s^2 Var u / 2 for a Gaussian utility u is
    too much, for the other LLMs are in the denominator as well: of an LLM that is chosen in a tenth of decisions,
    E sigmoid has a logit that is higher by about s^2 Var u / 4. So learning starts at the factor s / 4 (`new_llms`).

    Attributes:
      columns: the column of each LLM's own weight, [llms].
      factor: of the excess variance of each LLM's utility, [llms].
    """

    columns: Array
    factor: Array

    def added(
        self, users: Float[Array, "users features"], excess: Float[Array, "users llms"]
    ) -> Float[Array, "users features"]:
        """Returns the weights with the factor times the excess variance added.

        Args:
          excess: variance of utilities beyond those of trained LLMs; 0 for these.
        """
        return users.at[:, self.columns].add(self.factor * excess)


def llm_inputs(graph: RouterGraph) -> Float[Array, "llms inputs"]:
    """Returns what is known of each LLM without outcomes: text vector, prices, and the first LLM of its family."""
    nodes, edges = jnp.asarray(graph.nodes("llm")), graph.edges("family")
    first = jnp.arange(len(nodes))
    sender = jnp.where(jnp.asarray(edges.weight) > 0, edges.senders, len(nodes))
    first = first.at[edges.receivers].min(sender)
    return jnp.concatenate([nodes, first[:, None].astype(nodes.dtype)], 1)


def llm_states(
    inputs: Float[Array, "llms inputs"], size: int, own: int, offers: Float[Array, " llms"]
) -> Float[Array, "llms columns"]:
    """Returns the states of LLMs.

    Args:
      inputs: from `llm_inputs`.
      size: columns of the state of a trained LLM.
      own: columns for the LLMs that training did not offer, one each.
      offers: in how many decisions training offered each LLM.
    """
    if is_one_hot(size, own, len(inputs)):
        return jnp.eye(len(inputs))
    new = offers == 0
    of_new = jax.nn.one_hot(jnp.where(new, jnp.cumsum(new) - 1, own), own)
    return jnp.concatenate([_random_features(inputs, size), of_new], 1)


def is_one_hot(size: int, own: int, llms: int) -> bool:
    """Whether the states of so many LLMs are one-hot columns; arguments as for `llm_states`."""
    return size + own == llms


def own_columns(size: int, own: int, new: np.ndarray) -> Int[np.ndarray, " llms"]:
    """Returns the column of each LLM's own weight among the columns of states; -1 for an LLM without one.

    Args:
      size, own: as for `llm_states`.
      new: True for LLMs that training did not offer, [llms].
    """
    if is_one_hot(size, own, len(new)):
        return np.arange(len(new))
    return np.where(new, size + np.cumsum(new) - 1, -1)


def _random_features(inputs: Array, size: int) -> Array:
    """phi, [llms, size]."""
    keys, quarter = jax.random.split(jax.random.key(_SEED), 4), size // 4
    text, prices, first = inputs[:, : -LLM_NUMBERS - 1], inputs[:, -LLM_NUMBERS - 1 : -LLM_NUMBERS + 1], inputs[:, -1]
    of_family, of_itself = (_random_rows(key, quarter) for key in keys[2:])
    parts = [
        _cosines(keys[0], prices, _PRICE_SCALE, quarter),
        _cosines(keys[1], text, _TEXT_SCALE, quarter),
        of_family(first.astype(jnp.int32)),
        of_itself(jnp.arange(len(inputs))),
    ]
    return jnp.concatenate(parts, 1) / 2


def _cosines(key: Array, rows: Array, scale: float, number: int) -> Array:
    """Random cosine features of exp(-scale |x - y|^2), [rows, number]."""
    of_direction, of_phase = jax.random.split(key)
    directions = jnp.sqrt(2 * scale) * jax.random.normal(of_direction, (rows.shape[1], number))
    phases = jax.random.uniform(of_phase, (number,), maxval=2 * jnp.pi)
    return jnp.sqrt(2 / number) * jnp.cos(rows @ directions + phases)


def _random_rows(key: Array, number: int):
    """A function from integers to random rows of length about 1, the same for the same integer."""

    def rows(of: Array) -> Array:
        return jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (number,)))(of) / np.sqrt(number)

    return rows
