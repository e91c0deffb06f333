"""The history edges of a graph: what users decided, each user's decisions in one row."""

import dataclasses
from typing import Any

import jraph
import numpy as np

from prouter_jax.config import USERS_AT_ONCE
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import CostScale, DecisionArrays, outcome_matrices
from prouter_jax.graph.schema import EDGE_ENDS, EDGE_SETS, NODE_SETS, OBSERVED, EdgeSet, Layout, RouterGraph, see_all

_FULL_ENOUGH = 0.3  # a matrix of users and queries is worth its zeros from this share of decisions on


@dataclasses.dataclass(frozen=True)
class History:
    """The history edges: an `EdgeSet` whose arrays are made when they are asked for, for all of them are large.

    Attributes:
      decisions: of all users, ordered by user.
      column: the place of each decision in its user's row, [decisions].
      offered, llm: which slots hold a candidate and which LLM each slot holds, [decisions, candidates].
      shape: (users, decisions, candidates), each user's decisions in one row, padded to the longest; the candidates of
        a decision in its columns.
      shared: whether queries are shared.
    """

    decisions: DecisionArrays
    column: np.ndarray
    offered: np.ndarray
    llm: np.ndarray
    shape: tuple[int, int, int]
    shared: bool

    @property
    def senders(self) -> np.ndarray:
        if self.shared:
            # where a user did not decide takes part in the matrix products, so it must name the same queries and LLMs
            return self._edges(np.broadcast_to(np.arange(self.shape[2], dtype=np.int32), self.shape))
        return self._edges(self._filled(self.llm.astype(np.int32)))

    @property
    def receivers(self) -> np.ndarray:
        return self._edges(np.broadcast_to(np.arange(self.shape[0], dtype=np.int32)[:, None, None], self.shape))

    @property
    def query(self) -> np.ndarray:
        query = self._filled(self.decisions.query.astype(np.int32))
        if self.shared:
            query = query.max(0, keepdims=True)  # as for the senders
        return self._edges(np.broadcast_to(query[:, :, None], self.shape))

    @property
    def weight(self) -> np.ndarray:
        return self._flags(self.offered)

    @property
    def shown_first(self) -> np.ndarray:
        return self._flags(self.offered & (self.llm == self.decisions.first[:, None]))

    @property
    def first(self) -> np.ndarray:
        return self._numbers(np.where(self._known(self.decisions.target), self._of_slots(self.decisions.target), 0))

    @property
    def first_known(self) -> np.ndarray:
        return self._flags(self._known(self.decisions.target))

    @property
    def second(self) -> np.ndarray:
        """A rating; else 1 for a thumb up."""
        thumb = self._of_slots(self.decisions.thumb) > 0
        return self._numbers(np.where(self._known(self.decisions.rating), self._of_slots(self.decisions.rating), thumb))

    @property
    def second_known(self) -> np.ndarray:
        """1 for a rating, -1 for a thumb."""
        rated = self._known(self.decisions.rating)
        return self._flags(
            rated - (~rated & self.offered & (self._of_slots(self.decisions.thumb) >= 0)).astype(np.int8)
        )

    def _known(self, values: np.ndarray) -> np.ndarray:
        return self.offered & ~np.isnan(self._of_slots(values))

    def _of_slots(self, values: np.ndarray) -> np.ndarray:
        """Values [decisions, llms] as [decisions, candidates]."""
        return values if self.shared else np.take_along_axis(values, self.llm, 1)

    def _numbers(self, values: np.ndarray) -> np.ndarray:
        return self._edges(self._filled(values.astype(np.float32)))

    def _flags(self, values: np.ndarray) -> np.ndarray:
        return self._edges(self._filled(values.astype(np.int8)))

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """Values [decisions, ...] at their places; zeros elsewhere."""
        table = np.zeros((*self.shape[:2], *values.shape[1:]), values.dtype)
        table[self.decisions.user, self.column] = values
        return table

    def _edges(self, table: np.ndarray) -> np.ndarray:
        """Values of the whole shape in the order of the edges."""
        return (np.moveaxis(table, 0, -1) if self.shared else table).reshape(-1)


def build_history(histories: DecisionArrays, num_users: int, shards: int, least_decisions: int = 0) -> History:
    """The edges of some decisions; arguments as of `build_graph`."""
    histories = _ordered_by_user(histories)
    count = np.bincount(histories.user, minlength=num_users)
    shared = queries_shared(histories, len(count))
    column = _columns(histories, count, shared)
    offered, llm = _candidates(histories.offered, shared)
    longest = max(int(column.max(initial=0)) + 1, least_decisions)
    shape = (_padded_users(len(count), shards), bucket(longest), offered.shape[1])
    return History(histories, column, offered, llm, shape, shared)


def bucket(number: int) -> int:
    """The next size of the form m * 2**k with 16 <= m < 32: at most 6 % more, and few compilations."""
    if number <= 16:
        return max(number, 1)
    step = 1 << (number.bit_length() - 5)
    return -(-number // step) * step


def whole_chunks(users: int) -> int:
    """So many users, filled up to a multiple of those that are read at once, if there are more than that."""
    return users if users <= USERS_AT_ONCE else -(-users // USERS_AT_ONCE) * USERS_AT_ONCE


def queries_shared(histories: DecisionArrays, num_users: int) -> bool:
    """Whether users decided on the same queries, or on enough of the same for a full matrix of both to pay.

    Args:
      histories: decisions of so many users.
    """
    if num_users < 2 or not len(histories.user) or (histories.first >= 0).any():
        return False
    counts = np.bincount(histories.query)
    if len(histories.user) < _FULL_ENOUGH * num_users * np.count_nonzero(counts):  # known at once, also of millions
        return False
    cells = np.unique(histories.user.astype(np.int64) * len(counts) + histories.query)
    return len(cells) == len(histories.user)


def _ordered_by_user(histories: DecisionArrays) -> DecisionArrays:
    if (np.diff(histories.user) >= 0).all():
        return histories
    order = np.argsort(histories.user, kind="stable")
    return DecisionArrays(**{f.name: getattr(histories, f.name)[order] for f in dataclasses.fields(histories)})


def _padded_users(count: int, shards: int) -> int:
    """Users of a shard: as many as are read at once, or a multiple of that."""
    each = -(-count // shards)
    return shards * (bucket(each) if each <= USERS_AT_ONCE else whole_chunks(each))


def _columns(histories: DecisionArrays, count: np.ndarray, shared: bool) -> np.ndarray:
    """The place of each decision in its user's row: that of its query where queries are shared."""
    if shared:
        return np.unique(histories.query, return_inverse=True)[1]
    return np.arange(len(histories.user)) - (np.cumsum(count) - count)[histories.user]


def _candidates(offered: np.ndarray, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which slots hold a candidate, and which LLM each slot holds; slots are the pool where queries are shared."""
    if shared:
        return offered, np.broadcast_to(np.arange(offered.shape[1]), offered.shape)
    width = bucket(int(offered.sum(1).max(initial=1)))
    llm = np.argsort(~offered, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(offered, llm, 1), llm


LLM_NUMBERS = 4  # log prices in and out, and whether each is known


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
    return max(vectors.query.shape[1], vectors.llm.shape[1]) + LLM_NUMBERS


def build_graph(
    data: Interactions,
    vectors: NodeVectors,
    scale: CostScale,
    histories: DecisionArrays,
    shards: int = 1,
    least_decisions: int = 0,
) -> RouterGraph:
    """Builds the graph of everything in `data`, with `histories` as the users' past.

    Args:
      histories: decisions over the users, queries and LLMs of `data`.
      shards: the number of users is padded to a multiple of it (devices along the data axis).
      least_decisions: shorter histories than this are padded to it.
    """
    history = build_history(histories, len(data.users.ids), shards, least_decisions)
    users, decisions, candidates = history.shape
    feedback = history.second_known  # made anew whenever it is asked for
    nodes = _node_features(data, vectors, users)
    sets = _world_edges(data, scale)
    layout = Layout(
        nodes=tuple(len(nodes[name]) for name in NODE_SETS),
        edges=(*(len(sets[name].senders) for name in EDGE_SETS if name != "history"), users * decisions * candidates),
        users=users,
        decisions=decisions,
        candidates=candidates,
        shared_queries=history.shared,
        has_ratings=bool((feedback > 0).any()),
        has_thumbs=bool((feedback < 0).any()),
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
    llm[:, -LLM_NUMBERS:] = np.concatenate([np.where(known, np.log1p(np.nan_to_num(prices)), 0), known], 1)
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
