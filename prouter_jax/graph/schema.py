"""`RouterGraph`: users, tasks, queries and LLMs as one jraph.GraphsTuple with static ranges of nodes and edges.

Each node set is a contiguous range of the node axis and each edge set one of the edge axis, padded to a size of its
own, so one compilation serves all graphs of the same `Layout`. An edge has `weight` (0 for padding), `query` (the
query node it belongs to), two observations `first` and `second` with flags `first_known` and `second_known`, and
`shown_first` (1 for a candidate whose answer was shown first).

| edge set | sender -> receiver | first | second |
|---|---|---|---|
| query_to_task, task_to_query | a query and its task | | |
| query_to_llm, llm_to_query | a query and an LLM that answered it | effect | scaled cost |
| family | LLMs of one family | | |
| history | a candidate LLM -> the user of the decision | share of the choice | rating, or 1 for a thumb up |

A history edge with a thumb has `second_known` -1 in place of 1.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import jraph
import numpy as np
from flax import struct

# NumPy on the host, where graphs are built; JAX on a device and under a transformation
Array = Any

NODE_SETS = ("user", "task", "query", "llm")
EDGE_ENDS = {
    "query_to_task": ("query", "task"),
    "task_to_query": ("task", "query"),
    "query_to_llm": ("query", "llm"),
    "llm_to_query": ("llm", "query"),
    "family": ("llm", "llm"),
    "history": ("llm", "user"),
}
EDGE_SETS = tuple(EDGE_ENDS)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Static sizes of a graph; hashable.

    Attributes:
      nodes, edges: padded size of each node set and edge set.
      users, decisions, candidates: padded sizes of the histories; history edges are ordered by user, then decision,
        then candidate.
      shared_queries: whether all users have a row for each query, with all LLMs as candidates. The edges of queries
        that a user did not decide have weight 0, history edges are ordered by decision, candidate, user, and sums over
        histories are matrix products.
      has_ratings, has_thumbs: whether any feedback is a rating, or a thumb.
      has_sides: whether any decision records which answer was shown first.
      shards: number of equal groups of users, one for each device of the data axis.
    """

    nodes: tuple[int, ...]
    edges: tuple[int, ...]
    users: int
    decisions: int
    candidates: int
    shared_queries: bool
    has_ratings: bool
    has_thumbs: bool
    has_sides: bool
    shards: int

    def node_range(self, name: str) -> slice:
        """The range of a node set on the node axis."""
        return _range(self.nodes, NODE_SETS.index(name))

    def edge_range(self, name: str) -> slice:
        """The range of an edge set on the edge axis."""
        return _range(self.edges, EDGE_SETS.index(name))

    def num(self, name: str) -> int:
        """Padded number of nodes in a set."""
        return self.nodes[NODE_SETS.index(name)]


@struct.dataclass
class EdgeSet:
    """One edge set as arrays [edges]; columns as in the module docstring.

    Senders and receivers are numbered within their own node sets. Flags are stored as bytes; `RouterGraph.edges`
    returns those of world edges as floats.
    """

    senders: Array
    receivers: Array
    query: Array
    weight: Array
    first: Array
    second: Array
    first_known: Array
    second_known: Array
    shown_first: Array


OBSERVED = ("weight", "first", "second", "first_known", "second_known", "shown_first")


@struct.dataclass
class Visibility:
    """What a network sees of a graph: 1 where visible, 0 where masked.

    Attributes:
      outcomes: the outcomes of each query, [queries]; a query with 0 looks like a new one.
      tasks: the task of each query, [queries].
      decisions: the decisions of the histories, [users, decisions].
    """

    outcomes: Array
    tasks: Array
    decisions: Array


@struct.dataclass
class RouterGraph:
    """A graph, its layout and its visibility; a pytree.

    Attributes:
      graph: nodes, edges, senders and receivers of all sets.
      style: style features of the answers' texts, NaN where not observed, [queries, llms, style features].
      visibility: what is masked; `edges` returns masked outcomes and tasks as zeros, `history.mask_feedback` masks
        decisions.
      layout: static sizes.
    """

    graph: jraph.GraphsTuple
    style: Array
    visibility: Visibility
    layout: Layout = struct.field(pytree_node=False)

    def nodes(self, name: str) -> Array:
        """Returns the features of a node set, [nodes, width]."""
        return self._all_nodes()[self.layout.node_range(name)]

    @property
    def width(self) -> int:
        """Number of node features."""
        return self._all_nodes().shape[1]

    def with_nodes(self, name: str, features: Array) -> "RouterGraph":
        """Returns the graph with other features [nodes, width] of one node set."""
        at, nodes = self.layout.node_range(name), self._all_nodes()
        nodes = jnp.concatenate([nodes[: at.start], features, nodes[at.stop :]])
        return dataclasses.replace(self, graph=self.graph._replace(nodes=nodes))

    def edges(self, name: str) -> EdgeSet:
        """Returns an edge set; masked edges of world edge sets are zero, the history is not masked."""
        at = self.layout.edge_range(name)
        source, target = EDGE_ENDS[name]
        graph: Any = self.graph
        edges = {key: value[at] for key, value in graph.edges.items()}
        edges |= {key: edges[key] * self._shown(name, edges["query"]) for key in OBSERVED} if name != "history" else {}
        return EdgeSet(
            senders=graph.senders[at] - self.layout.node_range(source).start,
            receivers=graph.receivers[at] - self.layout.node_range(target).start,
            **edges,
        )

    def without_histories(self) -> "RouterGraph":
        """Returns the graph with all histories masked."""
        nobody = np.zeros((self.layout.users, self.layout.decisions), np.float32)
        return dataclasses.replace(self, visibility=dataclasses.replace(self.visibility, decisions=nobody))

    def _all_nodes(self) -> Array:
        return self.graph.nodes

    def _shown(self, name: str, query: Array) -> Array | float:
        see = self.visibility
        if name == "family":
            return 1.0
        if name == "task_to_query":
            return jnp.asarray(see.tasks)[query]
        return jnp.asarray(see.outcomes * see.tasks if name == "query_to_task" else see.outcomes)[query]


def see_all(layout: Layout) -> Visibility:
    """Returns the visibility that masks nothing."""
    queries = np.ones(layout.num("query"), np.float32)
    return Visibility(queries, queries, np.ones((layout.users, layout.decisions), np.float32))


def hide(graph: RouterGraph, visibility: Visibility) -> RouterGraph:
    """Returns the graph with another visibility."""
    return dataclasses.replace(graph, visibility=visibility)


def _range(sizes: tuple[int, ...], index: int) -> slice:
    start = sum(sizes[:index])
    return slice(start, start + sizes[index])
