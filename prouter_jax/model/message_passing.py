"""One layer of message passing between users, tasks, queries and LLMs; the layer of the paper's network.

The new state of a node is

    h' = LayerNorm(h + W h + sum over edge sets of the mean of its messages)       (arXiv 2511.16883)
    message = relu(M h_sender + E outcomes)

Messages are averaged, not summed, so the scale of a state depends neither on a node's degree nor on how many edges are
masked. A message along a history edge is weighted by the user's feedback on the answer, see `feedback_weights`.
"""

import jax
import jax.numpy as jnp
import jraph
from flax import nnx
from jaxtyping import Array, Float, Int

from prouter_jax.graph.history import HistoryFeedback, map_over_users, mask_feedback, read_histories
from prouter_jax.graph.schema import EDGE_ENDS, EDGE_SETS, NODE_SETS, EdgeSet, RouterGraph
from prouter_jax.model.answer_features import measured

HISTORY = "history"
OUTCOME_EDGES = ("query_to_llm", "llm_to_query")
WORLD_EDGES = tuple(name for name in EDGE_SETS if name != HISTORY)

_NUM_OUTCOMES = 4  # effect, cost and whether each was observed
_PRIOR_DECISIONS = 3.0  # decisions without feedback that the mean over a history includes: shrinks short histories
# the edge sets of each of `config.PARTS`
_EDGES_OF_PART = {
    "history": (HISTORY,),
    "tasks": ("query_to_task", "task_to_query"),
    "outcomes": OUTCOME_EDGES,
    "families": ("family",),
    "backward": ("query_to_task", "llm_to_query"),
}


def edges_without(parts: str) -> tuple[str, ...]:
    """Returns the names of the edge sets that remain in an ablation.

    Args:
      parts: comma-separated names of `config.PARTS` to leave out; "" for none.
    """
    removed = {name for part in parts.split(",") if part for name in _EDGES_OF_PART[part]}
    return tuple(name for name in EDGE_SETS if name not in removed)


class Layer(nnx.Module):
    """One layer: maps {node set: states [nodes, dim]} to new states.

    Args:
      dim: width of a state.
      edge_sets: the edge sets that carry messages.
    """

    def __init__(self, dim: int, edge_sets: tuple[str, ...], *, rngs: nnx.Rngs):
        self.world = tuple(name for name in WORLD_EDGES if name in edge_sets)
        observing = [name for name in OUTCOME_EDGES if name in edge_sets]
        if HISTORY in edge_sets:
            self.about = nnx.Linear(dim, dim, use_bias=False, rngs=rngs)
            observing += [HISTORY] * bool(observing)
        self.message = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in edge_sets})
        self.observed = nnx.Dict(
            {name: nnx.Linear(_NUM_OUTCOMES, dim, use_bias=False, rngs=rngs) for name in observing}
        )
        self.update = nnx.Dict({name: nnx.Linear(dim, dim, rngs=rngs) for name in NODE_SETS})
        self.norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in NODE_SETS})

    def __call__(self, graph: RouterGraph, states: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Passes messages once along all visible edges of the graph."""
        received = {name: jnp.zeros_like(state) for name, state in states.items()}
        for name in self.world:
            source, target = EDGE_ENDS[name]
            received[target] += self._mean_message(name, graph.edges(name), states[source], len(states[target]))
        if HISTORY in self.message:
            received["user"] += mean_feedback_message(graph, self._answer_messages(graph, states))
        return {name: self._updated(name, states[name], received[name]) for name in states}

    def lone_query(
        self,
        state: Float[Array, "*queries dim"],
        task_state: Float[Array, "*queries dim"],
        has_task: Float[Array, "*queries"],
    ) -> Float[Array, "*queries dim"]:
        """Updates queries whose only edge is that from their task: queries without visible outcomes."""
        message = jnp.zeros_like(state)
        if "task_to_query" in self.message:
            message = jax.nn.relu(self.message["task_to_query"](task_state)) * has_task[..., None]
        return self._updated("query", state, message)

    def lone_user(self, state: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """Updates a user without history."""
        return self._updated("user", state, jnp.zeros_like(state))

    def _mean_message(self, name: str, edges: EdgeSet, senders: jax.Array, num_receivers: int) -> jax.Array:
        sent = self.message[name](senders)[edges.senders]
        if name in self.observed:
            outcomes = (edges.first, edges.second, edges.first_known, edges.second_known)
            sent += self.observed[name](jnp.stack(outcomes, -1))
        return weighted_mean(jax.nn.relu(sent), edges.weight, edges.receivers, num_receivers)

    def _answer_messages(self, graph: RouterGraph, states: dict[str, jax.Array]) -> jax.Array:
        """Messages of the answers along history edges, [queries, llms, dim]."""
        sent = self.message[HISTORY](states["llm"])[None] + self.about(states["query"])[:, None]
        if HISTORY in self.observed:
            outcomes = jnp.concatenate([x[..., : _NUM_OUTCOMES // 2] for x in measured(graph)], -1)
            sent += self.observed[HISTORY](outcomes)
        return jax.nn.relu(sent)

    def _updated(self, name: str, state: jax.Array, received: jax.Array) -> jax.Array:
        return self.norm[name](state + self.update[name](state) + received)


def weighted_mean(
    values: Float[Array, "edges dim"],
    weight: Float[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_receivers: int,
) -> Float[Array, "receivers dim"]:
    """Returns the weighted mean of the messages to each receiver; zero for a receiver without edges."""
    total = jraph.segment_sum(values * weight[:, None], receivers, num_receivers)
    count = jraph.segment_sum(weight, receivers, num_receivers)
    return total / jnp.where(count > 0, count, 1)[:, None]


def mean_feedback_message(graph: RouterGraph, messages: Float[Array, "queries llms dim"]) -> Float[Array, "users dim"]:
    """Returns the mean over each user's visible decisions of weight * message, summed over the candidates.

    Args:
      messages: of every answer; `feedback_weights` has the weights.
    """

    @jax.checkpoint
    def of_user(answers, feedback, _, visible):
        feedback = mask_feedback(feedback, visible)
        weight = feedback_weights(feedback)
        flat = answers.reshape(-1, answers.shape[-1])
        total = flat.T @ weight.reshape(len(flat), *weight.shape[2:])
        return total / (feedback.offered.max(1).sum(0) + _PRIOR_DECISIONS)

    return map_over_users(graph, of_user, messages, read_histories(graph), graph.visibility.decisions)


def feedback_weights(feedback: HistoryFeedback) -> Float[Array, "decisions candidates *users"]:
    """Returns how much each candidate was preferred over the alternatives.

        (choice - 1 / candidates) + (rating - mean of the user's ratings) + (thumb - mean of the user's thumbs)

    with only the terms of the feedback that was given, so the weights of a decision between equals are zero.
    """
    has_choice = feedback.target.sum(1, keepdims=True)
    weight = feedback.target - has_choice * feedback.offered / jnp.maximum(feedback.offered.sum(1, keepdims=True), 1)
    for value, given in ((feedback.rating, feedback.rated), (feedback.thumb, feedback.thumbed)):
        if value is not None and given is not None:
            mean = (given * value).sum((0, 1)) / jnp.maximum(given.sum((0, 1)), 1)
            weight += given * (value - mean)
    return weight
