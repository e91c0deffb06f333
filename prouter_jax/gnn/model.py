"""`GraphModel`: from a graph to what every answer is worth to every user, as the paper has it (arXiv 2511.16883).

The score of an LLM is the product of its state with those of user, task and query, each through a matrix of its own:

    (U h_user + T h_task + Q h_query) . L h_llm

Users have no features, so all start alike: what becomes of a user is what its history brings.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct

from prouter_jax.bayes.columns import tasks_of
from prouter_jax.gnn.layer import Layer
from prouter_jax.graph import NODE_SETS, RouterGraph


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
    stranger: jax.Array


class GraphModel(nnx.Module):
    """Graph in, `GraphStates` out; then `predict_answers` for new queries."""

    def __init__(self, dim: int, steps: int, head: str, edge_sets: tuple[str, ...], width: int, *, rngs: nnx.Rngs):
        self.encode = nnx.Dict({name: nnx.Linear(width, dim, rngs=rngs) for name in NODE_SETS})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in NODE_SETS})
        self.layers = nnx.List([Layer(dim, edge_sets, rngs=rngs) for _ in range(steps)])
        self.head = Head(dim, head, edge_sets, rngs=rngs)

    def __call__(self, graph: RouterGraph) -> GraphStates:
        """Message passing over all that is visible in the graph."""
        states = {name: self._encoded(name, graph.nodes(name)) for name in NODE_SETS}
        tasks, stranger = [states["task"]], self._encoded("user", jnp.zeros(graph.width))
        for layer in self.layers:
            states, stranger = layer(graph, states), layer.lone_user(stranger)
            tasks.append(states["task"])
        by_layer = jnp.pad(jnp.stack(tasks), ((0, 0), (0, 1), (0, 0)))
        answers = self.head.answers(states["query"], by_layer[-1][tasks_of(graph)], states["llm"])
        users = self.head.users(states["user"])
        return GraphStates(by_layer, states["llm"], answers, users, self.head.users(stranger))

    def predict_answers(self, states: GraphStates, vectors: jax.Array, task: jax.Array) -> jax.Array:
        """`GraphStates.answers` of queries that nobody asked yet.

        Args:
          vectors: text vectors padded to the node width, [queries, width].
          task: row of the task, or the number of tasks for none, [queries].
        """
        known = (task < states.tasks.shape[1] - 1).astype(vectors.dtype)
        state = self._encoded("query", vectors)
        for layer, tasks in zip(self.layers, states.tasks[:-1], strict=True):
            state = layer.lone_query(state, tasks[task], known)
        return self.head.answers(state, states.tasks[-1][task], states.llms)

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
