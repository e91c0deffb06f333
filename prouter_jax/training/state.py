"""`TrainState`: the state of training that a checkpoint holds, as plain arrays."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.model.network import Architecture
from prouter_jax.training.step import Recipe, init_network


@struct.dataclass
class TrainState:
    """The state after `step` steps.

    Attributes:
      step: number of steps done.
      params: the network's parameters, a nested dictionary of arrays.
      opt_state: state of the optimizer, see `training.step.init_network`.
      validation_reward: mean reward of the last evaluation; -inf before the first.
      best_reward: the highest of all evaluations.
      stale: number of evaluations since the highest.
      temperature: factor on the logits that calibrates the choice probabilities, fitted in the last evaluation.
    """

    step: jax.Array
    params: dict
    opt_state: Any
    validation_reward: jax.Array
    best_reward: jax.Array
    stale: jax.Array
    temperature: jax.Array


def init_state(key: jax.Array, network: Architecture, recipe: Recipe) -> TrainState:
    """Returns the state before the first step; traceable, so `jax.eval_shape` gives its shapes."""
    params, opt_state = init_network(network, recipe, key)
    zero = jnp.zeros((), jnp.int32)
    lowest = jnp.full((), -jnp.inf)
    state = TrainState(zero, params, opt_state, lowest, lowest, zero, jnp.ones(()))
    # strong types, as a step returns them: jnp.log(10.0) is weakly typed, and the step would be compiled twice
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)
