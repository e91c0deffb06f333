"""The message passing layers of the paper (arXiv 2511.16883), over the whole graph, trained by gradients.

The score of an LLM for a user, a query and its task is a product of their states h, each mapped by a matrix:

    score = (U h_user + T h_task + Q h_query) . L h_llm

Users have no features: all start with the same learnt state, and their histories make them differ. A query is scored
from its text and task alone, in training and afterwards; its outcomes reach users and LLMs, not its own score.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from jaxtyping import Array, Float, Int

from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import tasks_of
from prouter_jax.model.functional import Functional
from prouter_jax.model.message_passing import Layer

_NODES_WITH_FEATURES = ("task", "query", "llm")


@dataclasses.dataclass(frozen=True)
class Layers(Functional["MessagePassing"]):
    """Sizes of `MessagePassing`; hashable, so a static argument of compiled functions.

    They do not include numbers of users, queries or LLMs, so trained layers also apply to a larger graph.

    Attributes:
      hidden_dim: width of a state.
      steps: number of message passing layers.
      head: kind of `Head`.
      edge_sets: names of the edge sets that carry messages.
      width: number of node features, see `graph.build.node_width`.
    """

    hidden_dim: int
    steps: int
    head: str
    edge_sets: tuple[str, ...]
    width: int

    def make(self, key: jax.Array) -> "MessagePassing":
        """Returns the module with random parameters."""
        sizes = (self.hidden_dim, self.steps, self.head, self.edge_sets, self.width)
        return MessagePassing(*sizes, rngs=nnx.Rngs(params=key))


@struct.dataclass
class GraphStates:
    """Node states after message passing: all that scoring needs, also for queries outside the graph.

    A score is the product of a row of `users` and a row of `answers`.

    Attributes:
      tasks: states before each layer and after the last; the last task is zeros, for queries without a task,
        [layers + 1, tasks + 1, dim].
      llms: final states of the LLMs, [llms, dim].
      answers: factors of the answers to the graph's queries; the last column is a score that all users share,
        [queries, llms, dim + 1].
      users: factors of the users; the last column is 1, [users, dim + 1].
      cold_start_user: factors of a user without history, [dim + 1].
    """

    tasks: jax.Array
    llms: jax.Array
    answers: jax.Array
    users: jax.Array
    cold_start_user: jax.Array


class MessagePassing(nnx.Module):
    """Encoders, message passing layers and head; maps a graph to `GraphStates`; all parameters are `nnx.Param`.

    Args:
      dim: width of a state.
      steps: number of message passing layers.
      head: "bilinear" or "sum", see `Head`.
      edge_sets: names of the edge sets that carry messages.
      width: number of node features, see `graph.build.node_width`.
    """

    def __init__(self, dim: int, steps: int, head: str, edge_sets: tuple[str, ...], width: int, *, rngs: nnx.Rngs):
        self.encode = nnx.Dict({name: nnx.Linear(width, dim, rngs=rngs) for name in _NODES_WITH_FEATURES})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in _NODES_WITH_FEATURES})
        self.user_without_history = nnx.Param(jax.random.normal(rngs.params(), (dim,)))
        # queries are scored without their outcomes, so nothing reads what the last layer would send from LLMs to them
        last = tuple(name for name in edge_sets if name != "llm_to_query")
        self.layers = nnx.List([Layer(dim, sets, rngs=rngs) for sets in [edge_sets] * (steps - 1) + [last]])
        self.head = Head(dim, head, edge_sets, rngs=rngs)

    def __call__(self, graph: RouterGraph) -> GraphStates:
        """Passes messages along all visible edges of the graph."""
        states = {name: self._encoded(name, graph.nodes(name)) for name in _NODES_WITH_FEATURES}
        tasks, cold_start_user = [states["task"]], self.user_without_history[...]
        states["user"] = jnp.broadcast_to(cold_start_user, (graph.layout.users, len(cold_start_user)))
        for layer in self.layers:
            states, cold_start_user = layer(graph, states), layer.lone_user(cold_start_user)
            tasks.append(states["task"])
        by_layer = jnp.pad(jnp.stack(tasks), ((0, 0), (0, 1), (0, 0)))
        answers = self.predict_answers(by_layer, states["llm"], graph.nodes("query"), tasks_of(graph))
        users = self.head.users(states["user"])
        return GraphStates(by_layer, states["llm"], answers, users, self.head.users(cold_start_user))

    def predict_answers(
        self,
        tasks: Float[Array, "layers tasks dim"],
        llms: Float[Array, "llms dim"],
        vectors: Float[Array, "queries width"],
        task: Int[Array, " queries"],
    ) -> Float[Array, "queries llms factors"]:
        """Returns the factors of the answers to queries, from their texts and tasks.

        Args:
          tasks, llms: as in `GraphStates`.
          vectors: text embeddings of the queries, padded to the width of node features.
          task: row of each query's task; the number of tasks for a query without one.
        """
        has_task = (task < tasks.shape[1] - 1).astype(vectors.dtype)
        state = self._encoded("query", vectors)
        for layer, before in zip(self.layers, tasks[:-1], strict=True):
            state = layer.lone_query(state, before[task], has_task)
        return self.head.answers(state, tasks[-1][task], llms)

    def _encoded(self, name: str, features: jax.Array) -> jax.Array:
        return self.norm[name](self.encode[name](features))


class Head(nnx.Module):
    """Maps states to the factors of the score.

    With the kind "bilinear", task and query also gate the LLM's factors that a user's weights are multiplied with.
    `log_sharpness` is the log of the inverse temperature of choices: ratings fix the scale of the score.
    """

    def __init__(self, dim: int, kind: str, edge_sets: tuple[str, ...], *, rngs: nnx.Rngs):
        context = ("task", "query") if "task_to_query" in edge_sets else ("query",)
        self.user = nnx.Linear(dim, dim, rngs=rngs)
        self.llm = nnx.Linear(dim, dim, rngs=rngs)
        self.context = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in context})
        self.gate = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in context if kind == "bilinear"})
        self.log_sharpness = nnx.Param(jnp.zeros(()))

    def answers(
        self, queries: Float[Array, "queries dim"], tasks: Float[Array, "queries dim"], llms: Float[Array, "llms dim"]
    ) -> Float[Array, "queries llms factors"]:
        """Returns the factors of answers from the states of queries, of their tasks and of LLMs."""
        states = {"query": queries, "task": tasks}
        context = sum(linear(states[name]) for name, linear in self.context.items())
        llm_factors = self.llm(llms) / np.sqrt(llms.shape[-1])
        shared_score = context @ llm_factors.T
        gate = 1 + sum((linear(states[name]) for name, linear in self.gate.items()), jnp.zeros_like(context))
        return jnp.concatenate([gate[:, None] * llm_factors, shared_score[..., None]], -1)

    def users(self, states: Float[Array, "*users dim"]) -> Float[Array, "*users factors"]:
        """Returns the factors of users from their states."""
        weights = self.user(states)
        return jnp.concatenate([weights, jnp.ones_like(weights[..., :1])], -1)
