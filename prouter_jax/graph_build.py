"""Builds a `RouterGraph` from `Interactions`, on the host, once for a world."""

import dataclasses
from typing import Any

import jraph
import numpy as np

from prouter_jax.decisions import CostScale, DecisionArrays, outcome_matrices
from prouter_jax.graph import EDGE_ENDS, EDGE_SETS, NODE_SETS, OBSERVED, EdgeSet, Layout, RouterGraph, see_all
from prouter_jax.graph_build_history import History, bucket, build_history
from prouter_jax.interactions import Interactions

_LLM_NUMBERS = 4  # log prices in and out, and whether each is known


@dataclasses.dataclass(frozen=True)
class NodeVectors:
    """Text vectors: float32 [tasks, width], [queries, width], [llms, width of LLM descriptions].

    `query_style` [queries, features] is what `answer_style` measures of the queries' texts.
    """

    task: np.ndarray
    query: np.ndarray
    llm: np.ndarray
    query_style: np.ndarray

    def of_queries(self, rows: np.ndarray) -> "NodeVectors":
        """With only the given queries."""
        return dataclasses.replace(self, query=self.query[rows], query_style=self.query_style[rows])


def node_width(vectors: NodeVectors) -> int:
    """Width of a node's features: its text vector, then an LLM's prices."""
    return max(vectors.query.shape[1], vectors.llm.shape[1]) + _LLM_NUMBERS


def build_graph(
    data: Interactions, vectors: NodeVectors, scale: CostScale, histories: DecisionArrays, shards: int = 1
) -> RouterGraph:
    """Builds the graph of everything in `data`, with `histories` as the users' past.

    Args:
      histories: decisions over the users, queries and LLMs of `data`.
      shards: the number of users is padded to a multiple of it (devices along the data axis).
    """
    history = build_history(histories, len(data.users.ids), shards)
    users, decisions, candidates = history.shape
    said = history.second_known  # made anew whenever it is asked for
    nodes = _node_features(data, vectors, users)
    sets = _world_edges(data, scale)
    layout = Layout(
        nodes=tuple(len(nodes[name]) for name in NODE_SETS),
        edges=(*(len(sets[name].senders) for name in EDGE_SETS if name != "history"), users * decisions * candidates),
        users=users,
        decisions=decisions,
        candidates=candidates,
        shared_queries=history.shared,
        has_ratings=bool((said > 0).any()),
        has_thumbs=bool((said < 0).any()),
        has_sides=bool(history.shown_first.any()),
        shards=shards,
    )
    sets["history"] = history
    return RouterGraph(_as_graphs_tuple(nodes, sets, layout), _style(data, layout), see_all(layout), layout)


def pad_features(vectors: np.ndarray, rows: int, width: int) -> np.ndarray:
    """Vectors [n, d] in the corner of zeros [rows, width]."""
    padded = np.zeros((rows, width), np.float32)
    padded[: len(vectors), : vectors.shape[1]] = vectors
    return padded


def _as_graphs_tuple(nodes: dict, sets: dict[str, EdgeSet | History], layout: Layout) -> jraph.GraphsTuple:
    """Concatenates the sets in their fixed order, node numbers shifted to their ranges."""
    start = {name: layout.node_range(name).start for name in NODE_SETS}
    ordered = [(sets[name], *EDGE_ENDS[name]) for name in EDGE_SETS]
    n_node, n_edge = (np.array([sum(sizes)], np.int32) for sizes in (layout.nodes, layout.edges))
    # jraph's annotations want JAX arrays; on the host these are NumPy's
    arrays: Any = {
        "nodes": np.concatenate([nodes[name] for name in NODE_SETS]),
        "edges": {
            key: np.concatenate([getattr(edges, key) for edges, _, _ in ordered]) for key in ("query", *OBSERVED)
        },
        "senders": np.concatenate([edges.senders + np.int32(start[source]) for edges, source, _ in ordered]),
        "receivers": np.concatenate([edges.receivers + np.int32(start[target]) for edges, _, target in ordered]),
        "n_node": n_node,
        "n_edge": n_edge,
    }
    return jraph.GraphsTuple(**arrays, globals=None)


def _node_features(data: Interactions, vectors: NodeVectors, num_users: int) -> dict[str, np.ndarray]:
    """Users have no features of their own: what they are is what their history says."""
    width = node_width(vectors)
    prices = np.stack([data.llms.input_price, data.llms.output_price], 1).astype(np.float32)
    known = ~np.isnan(prices)
    llm = pad_features(vectors.llm, len(prices), width)
    llm[:, -_LLM_NUMBERS:] = np.concatenate([np.where(known, np.log1p(np.nan_to_num(prices)), 0), known], 1)
    return {
        "user": np.zeros((num_users, width), np.float32),
        "task": pad_features(vectors.task, max(len(data.tasks.ids), 1), width),  # an edge needs a node to name
        "query": pad_features(vectors.query, bucket(len(data.queries.ids)), width),
        "llm": llm,
    }


def _style(data: Interactions, layout: Layout) -> np.ndarray:
    """What is measured of the answers' texts, [queries, llms, features]; no feature where nothing is."""
    measured, outcomes = data.outcomes.style, data.outcomes
    features = 0 if measured is None else measured.shape[1]
    style = np.full((layout.num("query"), layout.num("llm"), features), np.nan, np.float32)
    if measured is not None:
        style[outcomes.query, outcomes.llm] = measured
    return style


def _world_edges(data: Interactions, scale: CostScale) -> dict[str, Any]:
    """The edge sets that all users share."""
    query = np.arange(bucket(len(data.queries.ids)), dtype=np.int32)
    task = np.pad(data.queries.task.astype(np.int32), (0, len(query) - len(data.queries.task)), constant_values=-1)
    to_task = _edge_set(query, np.maximum(task, 0), query, task >= 0)
    to_llm = _outcome_edges(data, scale)
    family = data.llms.families
    same = (family[:, None] == family[None, :]) & (family != "")[:, None] & ~np.eye(len(family), dtype=bool)
    senders, receivers = np.nonzero(same)
    return {
        "query_to_task": to_task,
        "task_to_query": _reversed(to_task),
        "query_to_llm": to_llm,
        "llm_to_query": _reversed(to_llm),
        "family": _padded(_edge_set(senders, receivers, np.zeros_like(senders), np.ones(len(senders)))),
    }


def _outcome_edges(data: Interactions, scale: CostScale) -> EdgeSet:
    effect, cost = outcome_matrices(data, scale)
    query, llm = np.nonzero(~np.isnan(effect) | ~np.isnan(cost))
    return _padded(_edge_set(query, llm, query, np.ones(len(query)), effect[query, llm], cost[query, llm]))


def _edge_set(senders, receivers, query, weight, first=None, second=None) -> EdgeSet:
    whole = [np.asarray(a, np.int32) for a in (senders, receivers, query)]
    nothing = np.full(len(whole[0]), np.nan)
    values = [nothing if x is None else x for x in (first, second)]
    numbers = [np.nan_to_num(x).astype(np.float32) for x in values]
    known = [(~np.isnan(x)).astype(np.int8) for x in values]
    nobody = np.zeros(len(nothing), np.int8)
    columns = (*whole, np.asarray(weight, np.int8), *numbers, *known, nobody)
    return EdgeSet(**{f.name: column for f, column in zip(dataclasses.fields(EdgeSet), columns, strict=True)})


def _padded(edges: EdgeSet) -> EdgeSet:
    """Edges without weight to fill a bucket, from the first node to itself."""
    extra = bucket(len(edges.senders)) - len(edges.senders)
    columns = {f.name: np.pad(getattr(edges, f.name), (0, extra)) for f in dataclasses.fields(edges)}
    return EdgeSet(**columns)


def _reversed(edges: EdgeSet) -> EdgeSet:
    return dataclasses.replace(edges, senders=edges.receivers, receivers=edges.senders)
