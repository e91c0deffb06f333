"""`GraphModel`: from a graph to what every answer is worth to every user, as the paper has it (arXiv 2511.16883).

The score of an LLM is the product of its state with those of user, task and query, each through a matrix of its own:

    (U h_user + T h_task + Q h_query) . L h_llm

Users have no features, so all start alike: what becomes of a user is what its history brings. A query is scored by its
text and task alone, asked before or not, as in training; what was seen of it reaches the users and LLMs.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct

from prouter_jax import config
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import tasks_of
from prouter_jax.model.message_passing import Layer, edges_without

_DESCRIBED = ("task", "query", "llm")  # node sets with features


@struct.dataclass
class GraphStates:
    """Everything that scoring needs, also of queries that are not in the graph.

    Attributes:
      tasks: states before each layer and at the end, zeros last for no task, [layers + 1, tasks + 1, dim].
      llms: [llms, dim].
      answers: to the graph's queries, [queries, llms, dim + 1]: what a user multiplies, and the score that all share.
      users: [users, dim + 1], ending in a 1; `stranger` [dim + 1] has no history.
    """

    tasks: jax.Array
    llms: jax.Array
    answers: jax.Array
    users: jax.Array
    cold_start_user: jax.Array


class GraphModel(nnx.Module):
    """Graph in, `GraphStates` out; then `predict_answers` for new queries."""

    def __init__(self, dim: int, steps: int, head: str, edge_sets: tuple[str, ...], width: int, *, rngs: nnx.Rngs):
        self.encode = nnx.Dict({name: nnx.Linear(width, dim, rngs=rngs) for name in _DESCRIBED})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in _DESCRIBED})
        self.cold_start_user = nnx.Param(jax.random.normal(rngs.params(), (dim,)))
        # a query is scored as a new one, so nothing waits for what the last layer would tell queries of their answers
        last = tuple(name for name in edge_sets if name != "llm_to_query")
        self.layers = nnx.List([Layer(dim, sets, rngs=rngs) for sets in [edge_sets] * (steps - 1) + [last]])
        self.head = Head(dim, head, edge_sets, rngs=rngs)

    def __call__(self, graph: RouterGraph) -> GraphStates:
        """Message passing over all that is visible in the graph."""
        states = {name: self._encoded(name, graph.nodes(name)) for name in _DESCRIBED}
        tasks, cold_start_user = [states["task"]], self.cold_start_user[...]
        states["user"] = jnp.broadcast_to(cold_start_user, (graph.layout.users, len(cold_start_user)))
        for layer in self.layers:
            states, cold_start_user = layer(graph, states), layer.lone_user(cold_start_user)
            tasks.append(states["task"])
        by_layer = jnp.pad(jnp.stack(tasks), ((0, 0), (0, 1), (0, 0)))
        answers = self.predict_answers(by_layer, states["llm"], graph.nodes("query"), tasks_of(graph))
        users = self.head.users(states["user"])
        return GraphStates(by_layer, states["llm"], answers, users, self.head.users(cold_start_user))

    def predict_answers(self, tasks: jax.Array, llms: jax.Array, vectors: jax.Array, task: jax.Array) -> jax.Array:
        """What is multiplied with users, [queries, llms, dim + 1], as in `GraphStates`.

        Args:
          tasks, llms: as in `GraphStates`.
          vectors: text vectors padded to the node width, [queries, width].
          task: row of the task, or the number of tasks for none, [queries].
        """
        known = (task < tasks.shape[1] - 1).astype(vectors.dtype)
        state = self._encoded("query", vectors)
        for layer, before in zip(self.layers, tasks[:-1], strict=True):
            state = layer.lone_query(state, before[task], known)
        return self.head.answers(state, tasks[-1][task], llms)

    def _encoded(self, name: str, features: jax.Array) -> jax.Array:
        return self.norm[name](self.encode[name](features))


class Head(nnx.Module):
    """From states to factors of the score; with "bilinear", task and query decide what of an LLM a user multiplies.

    `log_sharpness` is that of choices: ratings fix the scale of the score, so choices need one of their own.
    """

    def __init__(self, dim: int, kind: str, edge_sets: tuple[str, ...], *, rngs: nnx.Rngs):
        context = ("task", "query") if "task_to_query" in edge_sets else ("query",)
        self.user = nnx.Linear(dim, dim, rngs=rngs)
        self.llm = nnx.Linear(dim, dim, rngs=rngs)
        self.context = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in context})
        self.gate = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in context if kind == "bilinear"})
        self.log_sharpness = nnx.Param(jnp.zeros(()))

    def answers(self, queries: jax.Array, tasks: jax.Array, llms: jax.Array) -> jax.Array:
        """[queries, llms, dim + 1] for states of queries and their tasks [queries, dim] and of LLMs [llms, dim]."""
        states = {"query": queries, "task": tasks}
        context = sum(linear(states[name]) for name, linear in self.context.items())
        weighed = self.llm(llms) / np.sqrt(llms.shape[-1])
        shared = context @ weighed.T
        gate = 1 + sum((linear(states[name]) for name, linear in self.gate.items()), jnp.zeros_like(context))
        return jnp.concatenate([gate[:, None] * weighed, shared[..., None]], -1)

    def users(self, states: jax.Array) -> jax.Array:
        """[..., dim + 1] for states of users [..., dim]."""
        weights = self.user(states)
        return jnp.concatenate([weights, jnp.ones_like(weights[..., :1])], -1)


@dataclasses.dataclass(frozen=True)
class GraphNetwork:
    """What decides the shapes of the parameters; hashable, so that compiled functions can depend on it.

    No number of users, queries or LLMs is among it: it is the same network in a world that has grown.

    Attributes:
      width: of a node's features, see `graph.build.node_width`.
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

    def _make(self, rngs: nnx.Rngs) -> GraphModel:
        return GraphModel(self.hidden_dim, self.steps, self.head, self.edge_sets, self.width, rngs=rngs)


def make_graph_network(model: config.Model, graph: RouterGraph) -> GraphNetwork:
    """The network of a configuration for graphs whose nodes have the width of this one's."""
    sizes = (model.hidden_dim, model.message_passing_steps, model.head)
    return GraphNetwork(*sizes, edges_without(model.without), graph.width)


@functools.lru_cache(maxsize=16)
def _graphdef(network: GraphNetwork) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: network._make(nnx.Rngs(0))))[0]
