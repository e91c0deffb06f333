"""One layer of message passing between users, tasks, queries and LLMs.

h' = LayerNorm(h + W h + sum over edge sets of the mean message), arXiv 2511.16883. A message is relu(M h_sender + E
observed); along a history edge it is weighted by how much the user liked the answer.
A mean, so that a node with many edges is not a louder one and hiding some edges shifts nothing.
"""

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from prouter_jax.graph.schema import EDGE_ENDS, EDGE_SETS, NODE_SETS, EdgeSet, RouterGraph
from prouter_jax.model.answer_features import measured
from prouter_jax.model.likelihood import mean_feedback_message

HISTORY = "history"
OUTCOME_EDGES = ("query_to_llm", "llm_to_query")
WORLD_EDGES = tuple(name for name in EDGE_SETS if name != HISTORY)

# the edge sets of each of `config.PARTS`
_OF_PART = {
    "history": (HISTORY,),
    "tasks": ("query_to_task", "task_to_query"),
    "outcomes": OUTCOME_EDGES,
    "families": ("family",),
    "backward": ("query_to_task", "llm_to_query"),
}


def edges_without(parts: str) -> tuple[str, ...]:
    """The edge sets that are left without the comma-separated parts."""
    out = {name for part in parts.split(",") if part for name in _OF_PART[part]}
    return tuple(name for name in EDGE_SETS if name not in out)


_OBSERVED = 4  # effect and cost, and whether each is known


class Layer(nnx.Module):
    """States are dictionaries from node set to [nodes, dim]; only the edge sets in `edge_sets` are there."""

    def __init__(self, dim: int, edge_sets: tuple[str, ...], *, rngs: nnx.Rngs):
        self.world = tuple(name for name in WORLD_EDGES if name in edge_sets)
        observing = [name for name in OUTCOME_EDGES if name in edge_sets]
        if HISTORY in edge_sets:
            self.about = nnx.Linear(dim, dim, use_bias=False, rngs=rngs)
            observing += [HISTORY] * bool(observing)
        self.message = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in edge_sets})
        self.observed = nnx.Dict({name: nnx.Linear(_OBSERVED, dim, use_bias=False, rngs=rngs) for name in observing})
        self.update = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in NODE_SETS})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in NODE_SETS})

    def __call__(self, graph: RouterGraph, states: dict[str, jax.Array]) -> dict[str, jax.Array]:
        received = {name: jnp.zeros_like(state) for name, state in states.items()}
        for name in self.world:
            source, target = EDGE_ENDS[name]
            received[target] += self._mean_message(name, graph.edges(name), states[source], len(states[target]))
        if HISTORY in self.message:
            received["user"] += mean_feedback_message(graph, self._answers(graph, states))
        return {name: self._updated(name, states[name], received[name]) for name in states}

    def lone_query(self, state: jax.Array, task_state: jax.Array, task_known: jax.Array) -> jax.Array:
        """A query [..., dim] that only its task knows: what `__call__` gives one without visible outcomes."""
        message = jnp.zeros_like(state)
        if "task_to_query" in self.message:
            message = jax.nn.relu(self.message["task_to_query"](task_state)) * task_known[..., None]
        return self._updated("query", state, message)

    def lone_user(self, state: jax.Array) -> jax.Array:
        """A user [dim] without history."""
        return self._updated("user", state, jnp.zeros_like(state))

    def _mean_message(self, name: str, edges: EdgeSet, senders: jax.Array, num_receivers: int) -> jax.Array:
        sent = self.message[name](senders)[edges.senders]
        if name in self.observed:
            seen = (edges.first, edges.second, edges.first_known, edges.second_known)
            sent += self.observed[name](jnp.stack(seen, -1))
        return weighted_mean(jax.nn.relu(sent), edges.weight, edges.receivers, num_receivers)

    def _answers(self, graph: RouterGraph, states: dict[str, jax.Array]) -> jax.Array:
        """What each answer says to the users who met it, [queries, llms, dim]."""
        sent = self.message[HISTORY](states["llm"])[None] + self.about(states["query"])[:, None]
        if HISTORY in self.observed:
            seen = jnp.concatenate([x[..., : _OBSERVED // 2] for x in measured(graph)], -1)
            sent += self.observed[HISTORY](seen)
        return jax.nn.relu(sent)

    def _updated(self, name: str, state: jax.Array, received: jax.Array) -> jax.Array:
        return self.norm[name](state + self.update[name](state) + received)


def weighted_mean(values: jax.Array, weight: jax.Array, receivers: jax.Array, num_receivers: int) -> jax.Array:
    """Mean of the values [edges, dim] that reach each receiver; zero where none does."""
    total = jraph.segment_sum(values * weight[:, None], receivers, num_receivers)
    count = jraph.segment_sum(weight, receivers, num_receivers)
    return total / jnp.where(count > 0, count, 1)[:, None]
