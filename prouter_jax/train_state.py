"""`TrainState`: all that training must remember, as plain arrays; and how it is made and bound to the network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from prouter_jax import config
from prouter_jax.losses import Noise
from prouter_jax.model import RouterModel


@struct.dataclass
class TrainState:
    """The state after `step` steps.

    Attributes:
      params: nested dictionary of the parameters of `Learner`.
      validation_reward, best_reward: the last one measured and the highest.
      stale: evaluations since then.
    """

    step: jax.Array
    params: dict
    opt_state: optax.OptState
    validation_reward: jax.Array
    best_reward: jax.Array
    stale: jax.Array


class Learner(nnx.Module):
    """The served model and what only training needs."""

    def __init__(self, model: config.Model, width: int, *, rngs: nnx.Rngs):
        self.model = RouterModel(model, width, rngs=rngs)
        self.noise = Noise()


@dataclasses.dataclass(frozen=True)
class Network:
    """What decides the shapes of the parameters; hashable, so that compiled functions can depend on it.

    `width` is that of a node's features, see `graph_build.node_width`.
    """

    hidden_dim: int
    message_passing_steps: int
    history_steps: int
    taste_dim: int
    width: int

    def make(self, rngs: nnx.Rngs) -> Learner:
        """A network with fresh parameters."""
        sizes = {field.name: getattr(self, field.name) for field in dataclasses.fields(config.Model)}
        return Learner(config.Model(**sizes), self.width, rngs=rngs)

    def bind(self, params: dict) -> Learner:
        """The network with the given parameters, inside or outside a transformation."""
        return nnx.merge(_graphdef(self), params)


def make_network(model: config.Model, width: int) -> Network:
    """The network of a configuration for node features of a width."""
    return Network(**dataclasses.asdict(model), width=width)


def make_optimizer(optimizer: config.Optimizer, num_train_steps: int) -> optax.GradientTransformation:
    """AdamW with warm-up, cosine decay to a tenth, and clipping; what describes the population moves faster."""
    warmup = min(optimizer.warmup_steps, num_train_steps // 2)
    peak = optimizer.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0 if warmup else peak, peak, warmup, num_train_steps, peak / 10)
    return optax.chain(
        optax.clip_by_global_norm(optimizer.clip_norm),
        # eps: a gradient that is zero but for rounding must not become a step
        optax.adamw(schedule, eps=1e-6, weight_decay=optimizer.weight_decay),
        optax.masked(optax.scale(optimizer.population_rate), _of_population),
    )


def _of_population(params: dict) -> dict:
    """True for the few numbers that all users share: logarithms of precisions, noises, weights; the mean user."""

    def one(path, _) -> bool:
        name = path[-1].key
        return name == "mean" or name.startswith("log_")

    return jax.tree_util.tree_map_with_path(one, params)


def init_state(key: jax.Array, network: Network, optimizer: optax.GradientTransformation) -> TrainState:
    """A fresh state; traceable, so that `jax.eval_shape` gives its shapes."""
    params = nnx.to_pure_dict(nnx.state(network.make(nnx.Rngs(params=key)), nnx.Param))
    zero = jnp.zeros((), jnp.int32)
    lowest = jnp.full((), -jnp.inf)
    state = TrainState(zero, params, optimizer.init(params), lowest, lowest, zero)
    # jnp.log(10.0) is weakly typed, what a step returns is not: without this the step would be compiled twice
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)


@functools.lru_cache(maxsize=16)
def _graphdef(network: Network) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: network.make(nnx.Rngs(0))))[0]
