"""Message passing over what all users share: tasks, queries and LLMs.

h' = LayerNorm(h + W h + sum over edge sets of the mean of relu(M h_sender + E observed)), arXiv 2511.16883.
A mean, so that a node with many edges is not a louder one and hiding some edges shifts nothing.
"""

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from prouter_jax.graph import EDGE_ENDS, EDGE_SETS, EdgeSet, RouterGraph

WORLD_NODES = ("task", "query", "llm")
WORLD_EDGES = tuple(name for name in EDGE_SETS if name != "history")
OUTCOME_EDGES = ("query_to_llm", "llm_to_query")


class MessagePassing(nnx.Module):
    """One layer; states are dictionaries from node set to [nodes, dim]."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.message = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in WORLD_EDGES})
        self.observed = nnx.Dict({name: nnx.Linear(4, dim, use_bias=False, rngs=rngs) for name in OUTCOME_EDGES})
        self.update = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in WORLD_NODES})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in WORLD_NODES})

    def __call__(self, graph: RouterGraph, states: dict[str, jax.Array]) -> dict[str, jax.Array]:
        received = {name: jnp.zeros_like(state) for name, state in states.items()}
        for name in WORLD_EDGES:
            source, target = EDGE_ENDS[name]
            mean = self._mean_message(name, graph.edges(name), states[source], len(states[target]))
            received[target] = received[target] + mean
        return {name: self._updated(name, states[name], received[name]) for name in states}

    def lone_query(self, state: jax.Array, task_state: jax.Array, task_known: jax.Array) -> jax.Array:
        """A query [..., dim] that only its task knows: what `__call__` gives one without visible outcomes."""
        message = jax.nn.relu(self.message["task_to_query"](task_state)) * task_known[..., None]
        return self._updated("query", state, message)

    def _mean_message(self, name: str, edges: EdgeSet, senders: jax.Array, num_receivers: int) -> jax.Array:
        sent = self.message[name](senders)[edges.senders]
        if name in OUTCOME_EDGES:
            sent = sent + self.observed[name](observations(edges))
        return weighted_mean(jax.nn.relu(sent), edges.weight, edges.receivers, num_receivers)

    def _updated(self, name: str, state: jax.Array, received: jax.Array) -> jax.Array:
        return self.norm[name](state + self.update[name](state) + received)


def weighted_mean(values: jax.Array, weight: jax.Array, receivers: jax.Array, num_receivers: int) -> jax.Array:
    """Mean of the values [edges, dim] that reach each receiver; zero where none does."""
    total = jraph.segment_sum(values * weight[:, None], receivers, num_receivers)
    count = jraph.segment_sum(weight, receivers, num_receivers)
    return total / jnp.where(count > 0, count, 1)[:, None]


def observations(edges: EdgeSet) -> jax.Array:
    """What the edges carry, [edges, 4]: two values and whether each is known."""
    return jnp.stack([edges.first, edges.second, edges.first_known, edges.second_known], -1)
