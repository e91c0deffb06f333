"""The histories of a graph, and how a function of one user is run over all of them.

One function, two ways to run it: where users share the queries, users are the last axis of its
arrays and its sums are matrix products; elsewhere each user has its own answers and it is mapped.
Both go through the users a chunk at a time, so that memory does not grow with their number.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jraph
from flax import struct

from prouter_jax.graph import RouterGraph
from prouter_jax.graph_build import USERS_AT_ONCE
from prouter_jax.reader import Said


@struct.dataclass
class Histories:
    """Feedback and what it was about.

    Attributes:
      said: [users, decisions, candidates], or [decisions, candidates, users] where queries are shared.
      query: [users, decisions], or [decisions].
      llm: [users, decisions, candidates], or None where each candidate's column is its LLM.
    """

    said: Said
    query: jax.Array
    llm: jax.Array | None


def read_histories(graph: RouterGraph) -> Histories:
    """The history edges as arrays, nothing hidden; `over_users` takes what is visible as a column."""
    layout, edges = graph.layout, graph.edges("history")
    shape = (layout.users, layout.decisions, layout.candidates)
    if layout.shared_queries:
        shape = (*shape[1:], shape[0])
    weight, target, rating, rated = (
        x.reshape(shape) for x in (edges.weight, edges.first, edges.second, edges.second_known)
    )
    said = Said(weight, target, rating, rated) if layout.has_ratings else Said(weight, target, None, None)
    if layout.shared_queries:
        return Histories(said, edges.query.reshape(shape)[:, 0, 0], None)
    return Histories(said, edges.query.reshape(shape)[:, :, 0], edges.senders.reshape(shape))


def only(said: Said, mask: jax.Array) -> Said:
    """The feedback on the decisions where `mask` [decisions, ...] is 1."""
    return jax.tree.map(lambda x: x * mask[:, None], said)


def over_users(graph: RouterGraph, function: Callable, answers: jax.Array, histories: Histories, *columns: jax.Array):
    """Runs `function(answers, said, llm, *columns)` over the users.

    Args:
      function: takes answers [decisions, candidates, properties], said and llm [decisions, candidates, ...] and
        each column [..., users] or [...]; returns arrays whose last axis is the users where it was given one.
      answers: [queries, llms, properties].
      columns: arrays [users, ...].

    Returns:
      What `function` returned, users first.
    """
    if graph.layout.shared_queries:
        return _over_shared(graph, function, answers[histories.query], histories, columns)
    return _over_own(graph, function, answers, histories, columns)


def sum_by_llm(values: jax.Array, llm: jax.Array | None, num_llms: int) -> jax.Array:
    """Sums [decisions, candidates, ...] over decisions: [llms, ...]."""
    if llm is None:
        return values.sum(0)
    return jraph.segment_sum(values.reshape(-1), llm.reshape(-1), num_llms)


def _over_shared(graph, function, answers, histories, columns):
    layout = graph.layout
    chunks = max(layout.users // layout.shards // USERS_AT_ONCE, 1)
    arrays = (histories.said, *[jnp.moveaxis(column, 0, -1) for column in columns])

    def on_chunk(part):
        said, *some = jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), part)
        result = function(answers, said, None, *some)
        return jax.tree.map(lambda x: x.reshape(*x.shape[:-1], layout.shards, -1), result)

    # the chunk axis lies within a shard, so that a chunk has users of every device
    split = jax.tree.map(lambda x: x.reshape(*x.shape[:-1], layout.shards, chunks, -1), arrays)
    mapped = _map(on_chunk, jax.tree.map(lambda x: jnp.moveaxis(x, -2, 0), split), chunks)
    joined = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-2], -1), mapped)
    return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), joined)


def _over_own(graph, function, answers, histories, columns):
    layout = graph.layout
    chunks = max(layout.users // layout.shards // USERS_AT_ONCE, 1)
    table = answers.reshape(-1, answers.shape[-1])

    def on_user(said, query, llm, *some):
        return function(table[query[:, None] * answers.shape[1] + llm], said, llm, *some)

    def on_chunk(part):
        merged = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), part)
        result = jax.vmap(on_user)(*merged)
        return jax.tree.map(lambda x: x.reshape(layout.shards, -1, *x.shape[1:]), result)

    arrays = (histories.said, histories.query, histories.llm, *columns)
    split = jax.tree.map(lambda x: x.reshape(layout.shards, chunks, -1, *x.shape[1:]), arrays)
    mapped = _map(on_chunk, jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), split), chunks)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(layout.users, *x.shape[3:]), mapped)


def _map(function: Callable, arrays, chunks: int):
    """`jax.lax.map`, without the loop where there is one chunk."""
    if chunks == 1:
        return jax.tree.map(lambda x: x[None], function(jax.tree.map(lambda x: x[0], arrays)))
    return jax.lax.map(function, arrays)
