"""Training of the small networks among the baselines: AdamW with cosine decay, as one compiled program."""

import functools

import jax
import jax.numpy as jnp
import optax

from prouter_jax.compilation import jit_program


@functools.partial(jit_program, static_argnames=("loss", "graph"))
def descend(loss, graph, params, tables, batches, key, settings, learning_rate, weight_decay):
    """Parameters after one step of AdamW for each batch.

    Args:
      loss: a function of the module level, `loss(params, graph, tables, batch, key, settings)`.
      graph: `nnx.GraphDef` of the network.
      tables: arrays that all batches read.
      batches: [steps, ...], such as rows of the tables.
      key: random key; each step gets one of its own.
      settings: numbers that the loss needs.
      learning_rate: of the first step; decays to 0.
      weight_decay: decoupled, as a share of the learning rate.
    """
    rate = optax.cosine_decay_schedule(1.0, len(batches))
    adam = optax.scale_by_adam()

    def step(carry, inputs):
        params, state = carry
        number, batch = inputs
        gradient = jax.grad(loss)(params, graph, tables, batch, jax.random.fold_in(key, number), settings)
        moves, state = adam.update(gradient, state)
        scale = learning_rate * rate(number)
        params = jax.tree.map(lambda value, move: value - scale * (move + weight_decay * value), params, moves)
        return (params, state), None

    return jax.lax.scan(step, (params, adam.init(params)), (jnp.arange(len(batches)), batches))[0][0]
