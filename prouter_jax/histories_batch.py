"""The histories of a minibatch: alone, or in a graph whose users are the batch's while the world stays."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from prouter_jax.graph import EDGE_SETS, NODE_SETS, OBSERVED, Layout, RouterGraph
from prouter_jax.histories import Histories, Said

_NUMBERS = ("rating", "rated", "thumb", "thumbed", "shown_first")


def batch_histories(batch: dict[str, jax.Array]) -> Histories:
    """What the users of a batch said, as `histories.read_histories` has it of their graph.

    Args:
      batch: what `inputs.batches.Batches.rows` describes.
    """
    given = {name: batch[name].astype(jnp.float32) for name in _NUMBERS if name in batch}
    if "thumbed" in given and "rated" in given:
        given["thumbed"] *= 1 - given["rated"]  # one edge has one number
    said = Said(batch["offered"].astype(jnp.float32), batch["target"], **dict.fromkeys(_NUMBERS) | given)
    return Histories(said, batch["query"], batch["llm"].astype(jnp.int32))


def with_batch(graph: RouterGraph, batch: dict[str, jax.Array], shards: int) -> RouterGraph:
    """The graph with the histories of a batch in place of its own; traceable.

    Args:
      batch: what `inputs.batches.Batches.rows` describes, of all rows.
      shards: devices along the data axis.
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
    # users come first on the node axis, so another number of them moves all other nodes
    moved = layout.users - graph.layout.users
    senders = [before.senders[: at.start] + moved, edges["senders"] + layout.node_range("llm").start]
    receivers = [before.receivers[: at.start] + moved, edges["receivers"]]
    nobody = jnp.zeros((layout.users, graph.width), before.nodes.dtype)
    moved_graph = before._replace(
        nodes=jnp.concatenate([nobody, before.nodes[graph.layout.users :]]),
        edges=columns,
        senders=jnp.concatenate(senders),
        receivers=jnp.concatenate(receivers),
        n_node=None,  # the layout knows; the edges of a pod's batch are more than an int32 can count
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
