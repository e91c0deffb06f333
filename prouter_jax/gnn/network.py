"""`GraphNetwork`: the parameters of a `GraphModel` and the gradient step that trains them."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import optax
from flax import nnx

from prouter_jax import config
from prouter_jax.gnn.edges import edges_without
from prouter_jax.gnn.hiding import Hiding, blur_texts, choose_hidden
from prouter_jax.gnn.loss import routing_loss
from prouter_jax.gnn.model import GraphModel
from prouter_jax.graph import RouterGraph, Visibility
from prouter_jax.sharding import replicated, users_sharding


@dataclasses.dataclass(frozen=True)
class GraphNetwork:
    """What decides the shapes of the parameters; hashable, so that compiled functions can depend on it.

    No number of users, queries or LLMs is among it: it is the same network in a world that has grown.

    Attributes:
      width: of a node's features, see `graph_build.node_width`.
    """

    hidden_dim: int
    steps: int
    head: str
    edge_sets: tuple[str, ...]
    width: int

    def init(self, key: jax.Array) -> dict:
        """Fresh parameters, a nested dictionary."""
        return nnx.to_pure_dict(nnx.state(self._make(nnx.Rngs(params=key)), nnx.Param))

    def bind(self, params: dict) -> GraphModel:
        """The model with the given parameters, inside or outside a transformation."""
        return nnx.merge(_graphdef(self), params)

    def init_opt_state(self, params: dict, optimizer: config.Optimizer, num_steps: int) -> optax.OptState:
        """The optimizer's state before the first step."""
        return make_optimizer(optimizer, num_steps).init(params)

    def make_step(
        self, optimizer: config.Optimizer, num_steps: int, hiding: Hiding, mesh: jax.sharding.Mesh
    ) -> Callable:
        """A function (params, opt_state, graph, step, key) -> (params, opt_state, metrics), to be compiled."""
        update = make_optimizer(optimizer, num_steps).update
        by_user = users_sharding(mesh)
        spread = (Visibility(replicated(mesh), replicated(mesh), by_user), by_user)

        def loss(params, graph, visibility, scored):
            return routing_loss(self.bind(params), graph, visibility, scored)

        def step(params: dict, opt_state: optax.OptState, graph: RouterGraph, number: jax.Array, key: jax.Array):
            # the histories are divided by users here, and everything made of them follows
            hidden = jax.lax.with_sharding_constraint(choose_hidden(graph, hiding, number, key), spread)
            graph = blur_texts(graph, hiding.text_noise, jax.random.fold_in(key, 2**29 + number))
            (total, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, graph, *hidden)
            updates, opt_state = update(gradient, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, {"loss": total, **parts}

        return step

    def _make(self, rngs: nnx.Rngs) -> GraphModel:
        return GraphModel(self.hidden_dim, self.steps, self.head, self.edge_sets, self.width, rngs=rngs)


def make_gnn(model: config.Model, graph: RouterGraph) -> GraphNetwork:
    """The network of a configuration for graphs whose nodes have the width of this one's."""
    sizes = (model.hidden_dim, model.message_passing_steps, model.head)
    return GraphNetwork(*sizes, edges_without(model.without), graph.width)


def make_optimizer(optimizer: config.Optimizer, num_steps: int) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to a tenth, and clipping by global norm."""
    warmup, peak = min(optimizer.warmup_steps, num_steps // 2), optimizer.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0 if warmup else peak, peak, warmup, num_steps, peak / 10)
    return optax.chain(
        optax.clip_by_global_norm(optimizer.clip_norm),
        # eps: a gradient that is zero but for rounding must not become a step
        optax.adamw(schedule, eps=1e-6, weight_decay=optimizer.weight_decay),
    )


@functools.lru_cache(maxsize=16)
def _graphdef(network: GraphNetwork) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: network._make(nnx.Rngs(0))))[0]
