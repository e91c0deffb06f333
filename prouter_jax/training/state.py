"""`TrainState`: all that training must remember, as plain arrays."""

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.model.inference import Network
from prouter_jax.training.step import Recipe, init_network


@struct.dataclass
class TrainState:
    """The state after `step` steps.

    Attributes:
      params: nested dictionary of arrays.
      opt_state: of the optimizer, empty where there is none.
      validation_reward, best_reward: the last one measured and the highest.
      stale: evaluations since then.
      temperature: what logits are multiplied with so that probabilities are calibrated, as of the last evaluation.
    """

    step: jax.Array
    params: dict
    opt_state: object
    validation_reward: jax.Array
    best_reward: jax.Array
    stale: jax.Array
    temperature: jax.Array


def init_state(key: jax.Array, network: Network, recipe: Recipe) -> TrainState:
    """A fresh state; traceable, so that `jax.eval_shape` gives its shapes."""
    params, opt_state = init_network(network, recipe, key)
    zero = jnp.zeros((), jnp.int32)
    lowest = jnp.full((), -jnp.inf)
    state = TrainState(zero, params, opt_state, lowest, lowest, zero, jnp.ones(()))
    # jnp.log(10.0) is weakly typed, what a step returns is not: without this the step would be compiled twice
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)
