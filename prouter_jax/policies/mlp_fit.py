"""Fitting a network of one hidden layer by stochastic gradient descent (Flax, optax)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

_BATCH = 512


class Network(nnx.Module):
    """inputs -> hidden GELU units -> outputs, added to given starting values."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rngs: nnx.Rngs):
        self.inner = nnx.Linear(inputs, hidden, rngs=rngs)
        # nothing at first, so that training starts from the starting values
        self.outer = nnx.Linear(hidden, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, inputs, start):
        return start + self.outer(jax.nn.gelu(self.inner(inputs)))


class Mlp:
    """The network with its optimiser.

    Args:
      hidden: units; dropout: share of the inputs that is hidden in each training step.
      weight_decay, learning_rate: of AdamW; the rate falls to 0 in the shape of a cosine.
      steps: batches of 512 rows.
    """

    def __init__(
        self, hidden: int, dropout: float, weight_decay: float, learning_rate: float, steps: int, seed: int = 0
    ):
        self._sizes = (hidden, steps, seed)
        self._rates = (dropout, weight_decay, learning_rate)

    def fit(self, inputs: np.ndarray, start: np.ndarray, target: np.ndarray, known: np.ndarray, choices: bool) -> None:
        """Learns targets from inputs.

        Args:
          inputs: float32 [rows, features]; start: [rows, outputs], what the network is added to.
          target: [rows, outputs]; known: bool [rows, outputs], what counts.
          choices: softmax over what is known and log loss; else squared error.
        """
        hidden, steps, seed = self._sizes
        self._middle, self._spread = inputs.mean(0), inputs.std(0) + 1e-3
        network = Network(inputs.shape[1], hidden, target.shape[1], nnx.Rngs(seed))
        self._graph, params = nnx.split(network)
        rng = np.random.default_rng(seed)
        rows = rng.integers(len(inputs), size=(steps, min(_BATCH, len(inputs))))
        tables = [np.asarray(x, np.float32) for x in (self._scaled(inputs), start, np.where(known, target, 0), known)]
        key = jax.random.key(seed)
        self._params = _descend(self._graph, nnx.to_pure_dict(params), tables, rows, key, *self._rates, choices)

    def predict(self, inputs: np.ndarray, start: np.ndarray) -> np.ndarray:
        """float32 [rows, outputs]."""
        return np.asarray(nnx.merge(self._graph, self._params)(self._scaled(inputs), start.astype(np.float32)))

    def _scaled(self, inputs: np.ndarray) -> np.ndarray:
        return ((inputs - self._middle) / self._spread).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("graph", "choices"))
def _descend(graph, params, tables, rows, key, dropout, weight_decay, learning_rate, choices: bool):
    rate = optax.cosine_decay_schedule(1.0, len(rows))
    adam = optax.scale_by_adam()

    def step(carry, batch):
        params, state = carry
        number, chosen = batch
        inputs, *rest = (table[chosen] for table in tables)
        shown = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - dropout, inputs.shape)
        gradient = jax.grad(_loss)(params, graph, inputs * shown / (1 - dropout), *rest, choices)
        moves, state = adam.update(gradient, state)
        scale = learning_rate * rate(number)
        params = jax.tree.map(lambda value, move: value - scale * (move + weight_decay * value), params, moves)
        return (params, state), None

    return jax.lax.scan(step, (params, adam.init(params)), (jnp.arange(len(rows)), rows))[0][0]


def _loss(params, graph, inputs, start, target, known, choices: bool):
    outputs = nnx.merge(graph, params)(inputs, start)
    if not choices:
        return (known * jnp.square(outputs - target)).sum() / known.sum()
    logs = jax.nn.log_softmax(jnp.where(known > 0, outputs, -1e9))
    return -(target * jnp.where(known > 0, logs, 0)).sum() / len(inputs)
