"""Users' histories as arrays, and map, sum and fold of a function over users.

Where users share queries (`Layout.shared_queries`), users are the last axis of the function's arrays and its sums are
matrix products; else each user has own answers and the function is mapped. Users are processed in chunks, so memory
does not grow with their number.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.config import USERS_AT_ONCE
from prouter_jax.graph.schema import EDGE_SETS, NODE_SETS, OBSERVED, Layout, RouterGraph


@struct.dataclass
class HistoryFeedback:
    """Feedback on the candidates of decisions; zero where masked or not given. Arrays [decisions, candidates, ...].

    Attributes:
      offered: 1 for the candidates of the decision, 0 for padding.
      target: share of the choice; ties share 1, a decision without a choice has zeros.
      rating, rated: the rating, and 1 where it was given; None if no user rates.
      shown_first: 1 for the candidate shown first; None if the data does not record it.
      thumb, thumbed: 1 for a thumb up, and 1 where a thumb was given; None if no user gives thumbs.
    """

    offered: jax.Array
    target: jax.Array
    rating: jax.Array | None
    rated: jax.Array | None
    shown_first: jax.Array | None
    thumb: jax.Array | None = None
    thumbed: jax.Array | None = None


@struct.dataclass
class Histories:
    """Feedback of all users, with the queries and LLMs of their decisions.

    Attributes:
      feedback: arrays [users, decisions, candidates]; [decisions, candidates, users] where users share queries.
      query: row of each decision's query, [users, decisions]; [decisions] where users share queries.
      llm: row of each candidate's LLM, [users, decisions, candidates]; None where users share queries, for candidate c
        is then LLM c.
    """

    feedback: HistoryFeedback
    query: jax.Array
    llm: jax.Array | None


def read_histories(graph: RouterGraph) -> Histories:
    """Returns the history edges of a graph as arrays, not masked."""
    layout, edges = graph.layout, graph.edges("history")
    shape = (layout.users, layout.decisions, layout.candidates)
    if layout.shared_queries:
        shape = (*shape[1:], shape[0])
    second, flag = edges.second.reshape(shape), edges.second_known.reshape(shape)
    feedback = HistoryFeedback(
        offered=edges.weight.reshape(shape),
        target=edges.first.reshape(shape),
        rating=second if layout.has_ratings else None,
        rated=jnp.maximum(flag, 0) if layout.has_ratings else None,
        thumb=second if layout.has_thumbs else None,
        thumbed=jnp.maximum(-flag, 0) if layout.has_thumbs else None,
        shown_first=edges.shown_first.reshape(shape) if layout.has_sides else None,
    )
    if layout.shared_queries:
        return Histories(feedback, edges.query.reshape(shape)[:, 0, 0], None)
    return Histories(feedback, edges.query.reshape(shape)[:, :, 0], edges.senders.reshape(shape))


def mask_feedback(feedback: HistoryFeedback, mask: jax.Array) -> HistoryFeedback:
    """Multiplies all feedback by a mask of decisions, 1 or 0, [decisions, ...]."""
    return jax.tree.map(lambda x: x * mask[:, None], feedback)


def informative_feedback(feedback: HistoryFeedback, llm: jax.Array | None, num_llms: int) -> HistoryFeedback:
    """Drops feedback of a user that does not tell LLMs apart.

    It is a tie among all of at least three candidates, and ratings that are all equal although several LLMs are rated:
    both may mean that the user did not look, and read as they stand would make all LLMs equal.

    Args:
      feedback: masked, of one user, or of users who share queries.
      llm: as of `sum_by_llm`.
    """
    number = feedback.offered.sum(1, keepdims=True)
    uniform = feedback.offered / jnp.maximum(number, 1)
    tied = (jnp.abs(feedback.target - uniform).max(1, keepdims=True) < _EQUAL) & (number > 2)
    feedback = dataclasses.replace(feedback, target=jnp.where(tied, 0.0, feedback.target))
    if feedback.rated is None or feedback.rating is None:
        return feedback
    rated = feedback.rated > 0
    highest = jnp.where(rated, feedback.rating, -jnp.inf).max((0, 1))
    lowest = jnp.where(rated, feedback.rating, jnp.inf).min((0, 1))
    several = (sum_by_llm(feedback.rated, llm, num_llms) > 0).sum(0) > 1
    equal = several & (highest - lowest < _EQUAL)
    return dataclasses.replace(feedback, rated=jnp.where(equal, 0.0, feedback.rated))


def sum_by_llm(values: jax.Array, llm: jax.Array | None, num_llms: int) -> jax.Array:
    """Sums values [decisions, candidates, ...] by LLM: [llms, ...]; `llm` as in `Histories`, of one user."""
    if llm is None:
        return values.sum(0)
    return jax.ops.segment_sum(values.reshape(-1), llm.reshape(-1), num_llms)


def map_over_users(
    graph: RouterGraph, function: Callable, answers: jax.Array, histories: Histories, *columns: jax.Array
):
    """Maps `function(answers, feedback, llm, *columns)` over users.

    Args:
      function: takes answers [decisions, candidates, features], feedback and llm [decisions, candidates, ...] and
        each column, of one user, or of all users of a chunk as the last axis; returns arrays with the same last axis.
      answers: table of the answers, [queries, llms, features].
      columns: arrays [users, ...].

    Returns:
      The results of all users, with users as the first axis.
    """
    if graph.layout.shared_queries:
        return _over_shared(graph, function, answers[histories.query], histories, columns)
    return _over_own(graph, function, answers, histories, columns)


def sum_over_users(graph: RouterGraph, function: Callable, histories: Histories, *columns: jax.Array):
    """Sums the results of `function(feedback, query, llm, *columns)` over chunks of users.

    Args:
      function: takes the `Histories` of a chunk and its columns; users are the last axis of the feedback and columns
        where users share queries, else the first.
      columns: arrays [users, ...].
    """
    layout = graph.layout
    if layout.shared_queries:
        arrays = (histories.feedback, *[jnp.moveaxis(column, 0, -1) for column in columns])
        parts, chunks = _chunks_of_last_axis(layout, arrays)
        merged = jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), parts)

        def on_chunk(part):
            return function(part[0], histories.query, None, *part[1:])
    else:
        arrays = (histories.feedback, histories.query, histories.llm, *columns)
        parts, chunks = _chunks_of_first_axis(layout, arrays)
        merged = jax.tree.map(lambda x: x.reshape(x.shape[0], -1, *x.shape[3:]), parts)

        def on_chunk(part):
            return function(*part)

    if chunks == 1:
        return on_chunk(jax.tree.map(lambda x: x[0], merged))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(on_chunk, _first(merged)))
    return jax.lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, on_chunk(part)), None), zeros, merged)[0]


def fold_over_users(function: Callable, start: Any, histories: Histories, *columns: jax.Array):
    """Folds `function(total, feedback, query, llm, *columns)` over chunks of users, users as the first axis.

    For users on one device who do not share queries.

    Args:
      function: returns the new total, and arrays by user.
      start: the initial total.
      columns: arrays [users, ...].

    Returns:
      The final total, and the arrays of all users.
    """
    chunks = _num_chunks(len(histories.query))
    arrays = (histories.feedback, histories.query, histories.llm, *columns)
    parts = jax.tree.map(lambda x: x.reshape(chunks, -1, *x.shape[1:]), arrays)
    total, kept = jax.lax.scan(lambda total, part: function(total, *part), start, parts)
    return total, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept)


def _first(arrays):
    return jax.tree.map(lambda x: x[0], arrays)


def _num_chunks(users: int) -> int:
    """Number of chunks of the users of a device."""
    return max(users // USERS_AT_ONCE, 1)


def _chunks_of_last_axis(layout: Layout, arrays) -> tuple[Any, int]:
    """Arrays [..., users] as [chunks, ..., shards, users of a chunk and shard]: a chunk has users of every device."""
    chunks = _num_chunks(layout.users // layout.shards)
    split = jax.tree.map(lambda x: x.reshape(*x.shape[:-1], layout.shards, chunks, -1), arrays)
    return jax.tree.map(lambda x: jnp.moveaxis(x, -2, 0), split), chunks


def _chunks_of_first_axis(layout: Layout, arrays) -> tuple[Any, int]:
    """Arrays [users, ...] as [chunks, shards, users of a chunk and shard, ...]."""
    chunks = _num_chunks(layout.users // layout.shards)
    split = jax.tree.map(lambda x: x.reshape(layout.shards, chunks, -1, *x.shape[1:]), arrays)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), split), chunks


def _over_shared(graph, function, answers, histories, columns):
    layout = graph.layout

    def on_chunk(part):
        feedback, *some = jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), part)
        result = function(answers, feedback, None, *some)
        return jax.tree.map(lambda x: x.reshape(*x.shape[:-1], layout.shards, -1), result)

    parts, chunks = _chunks_of_last_axis(
        layout, (histories.feedback, *[jnp.moveaxis(column, 0, -1) for column in columns])
    )
    mapped = _map(on_chunk, parts, chunks)
    joined = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-2], -1), mapped)
    return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), joined)


def _over_own(graph, function, answers, histories, columns):
    layout = graph.layout
    table = answers.reshape(-1, answers.shape[-1])

    def on_user(feedback, query, llm, *some):
        return function(table[query[:, None] * answers.shape[1] + llm], feedback, llm, *some)

    def on_chunk(part):
        merged = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), part)
        result = jax.vmap(on_user)(*merged)
        return jax.tree.map(lambda x: x.reshape(layout.shards, -1, *x.shape[1:]), result)

    parts, chunks = _chunks_of_first_axis(layout, (histories.feedback, histories.query, histories.llm, *columns))
    mapped = _map(on_chunk, parts, chunks)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(layout.users, *x.shape[3:]), mapped)


def _map(function: Callable, arrays, chunks: int):
    """`jax.lax.map`, without the loop where there is one chunk."""
    if chunks == 1:
        return jax.tree.map(lambda x: x[None], function(_first(arrays)))
    return jax.lax.map(function, arrays)


_EQUAL = 1e-6  # difference of equal numbers, up to rounding
_NUMBERS = ("rating", "rated", "thumb", "thumbed", "shown_first")


def batch_histories(batch: dict[str, jax.Array]) -> Histories:
    """Returns the histories of a batch of users, in the form of `read_histories`.

    Args:
      batch: arrays as in `data.batches.Batches.rows`.
    """
    given = {name: batch[name].astype(jnp.float32) for name in _NUMBERS if name in batch}
    if "thumbed" in given and "rated" in given:
        given["thumbed"] *= 1 - given["rated"]  # an edge has one number: the rating
    feedback = HistoryFeedback(batch["offered"].astype(jnp.float32), batch["target"], **dict.fromkeys(_NUMBERS) | given)
    return Histories(feedback, batch["query"], batch["llm"].astype(jnp.int32))


def with_batch(graph: RouterGraph, batch: dict[str, jax.Array], shards: int) -> RouterGraph:
    """Returns the graph with the users and histories of a batch in place of its own; traceable.

    Args:
      batch: arrays as in `data.batches.Batches.rows`, of all devices.
      shards: number of devices along the data axis.
    """
    offered = batch["offered"]
    layout = _layout(graph.layout, batch, shards)
    edges = {name: _flat(value, offered) for name, value in _history(batch).items()}
    at = graph.layout.edge_range("history")
    before: Any = graph.graph  # jraph's annotations allow for None
    old = before.edges
    columns = {
        key: jnp.concatenate([old[key][: at.start], edges[key].astype(old[key].dtype)]) for key in ("query", *OBSERVED)
    }
    # users come first on the node axis, so their number shifts all other nodes
    moved = layout.users - graph.layout.users
    senders = [before.senders[: at.start] + moved, edges["senders"] + layout.node_range("llm").start]
    receivers = [before.receivers[: at.start] + moved, edges["receivers"]]
    nobody = jnp.zeros((layout.users, graph.width), before.nodes.dtype)
    moved_graph = before._replace(
        nodes=jnp.concatenate([nobody, before.nodes[graph.layout.users :]]),
        edges=columns,
        senders=jnp.concatenate(senders),
        receivers=jnp.concatenate(receivers),
        n_node=None,  # the layout has them; the edges of a pod's batch overflow an int32
        n_edge=None,
    )
    visibility = dataclasses.replace(graph.visibility, decisions=batch["shown"])
    return RouterGraph(moved_graph, graph.style, visibility, layout)


def _layout(layout: Layout, batch: dict[str, jax.Array], shards: int) -> Layout:
    users, decisions, candidates = batch["offered"].shape
    sizes = {"user": users, "history": users * decisions * candidates}
    return Layout(
        nodes=tuple(sizes.get(name, size) for name, size in zip(NODE_SETS, layout.nodes, strict=True)),
        edges=tuple(sizes.get(name, size) for name, size in zip(EDGE_SETS, layout.edges, strict=True)),
        users=users,
        decisions=decisions,
        candidates=candidates,
        shared_queries=False,
        has_ratings="rated" in batch,
        has_thumbs="thumbed" in batch,
        has_sides="shown_first" in batch,
        shards=shards,
    )


def _history(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The columns of the history edges, [users, decisions, candidates] or what can be spread over these axes."""
    offered = batch["offered"].astype(jnp.float32)
    nothing = jnp.zeros_like(offered)
    rating, rated, thumb, thumbed = (
        batch.get(name, nothing).astype(jnp.float32) for name in ("rating", "rated", "thumb", "thumbed")
    )
    return {
        "senders": batch["llm"].astype(jnp.int32),
        "receivers": jnp.arange(len(offered), dtype=jnp.int32)[:, None, None],
        "query": batch["query"][:, :, None],
        "weight": offered,
        "first": batch["target"],
        "first_known": offered,
        "second": rating + thumb * (1 - rated),
        "second_known": rated - thumbed * (1 - rated),
        "shown_first": batch["shown_first"].astype(jnp.float32) if "shown_first" in batch else nothing,
    }


def _flat(values: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.broadcast_to(values, like.shape).reshape(-1)
