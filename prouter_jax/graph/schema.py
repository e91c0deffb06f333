"""`RouterGraph`: users, tasks, queries and LLMs as one jraph.GraphsTuple with typed, static ranges.

Node sets are contiguous ranges of the node axis and edge sets of the edge axis, each padded to a
size of its own, so that one compilation serves every graph of the same `Layout`. An edge carries
`weight` (0 for padding), `query` (the query node it is about), two observations, `first` and `second`,
each with a flag that says whether it is known, and `shown_first`, for a candidate whose answer was seen first.

| edge set | sender -> receiver | first | second |
|---|---|---|---|
| query_to_task, task_to_query | a query and its task | | |
| query_to_llm, llm_to_query | a query and an LLM that answered it | effect | scaled cost |
| family | LLMs of one family | | |
| history | an LLM on offer -> the user who decided | share of the choice | rating, or 1 for a thumb up |

A history edge with a thumb has the flag -1 in place of 1. History edges, read backwards, also bring the users'
feedback to the LLMs.
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
    """The static sizes of a graph.

    Attributes:
      nodes, edges: padded size of each node set and edge set.
      users, decisions, candidates: the history edges are ordered by user, then decision, then candidate.
      shared_queries: a decision's place is that of its query, for all users, and its candidates are the whole pool
        (a query that a user did not decide on has no weight there); the history edges are then ordered by decision,
        candidate, user, and messages are matrix products.
      has_ratings, has_thumbs: whether any feedback is a rating, or a thumb.
      has_sides: whether any decision says whose answer was shown first.
      shards: the users come in that many equal groups, one for each device of the data axis.
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
        return _range(self.nodes, NODE_SETS.index(name))

    def edge_range(self, name: str) -> slice:
        return _range(self.edges, EDGE_SETS.index(name))

    def num(self, name: str) -> int:
        """Padded number of nodes in a set."""
        return self.nodes[NODE_SETS.index(name)]


@struct.dataclass
class EdgeSet:
    """One edge set, each array [edges], with senders and receivers counted within their own node sets.

    Flags are bytes where they are kept; those of world edges are numbers once `RouterGraph.edges` has hidden some.
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
    """What may be seen while some decisions are scored: 1 where visible, 0 where hidden.

    Attributes:
      outcomes: [queries], the outcomes of a query; 0 makes it a query that nobody has asked yet.
      tasks: [queries], whether a query's task is known.
      decisions: [users, decisions], entries of the histories.
    """

    outcomes: Array
    tasks: Array
    decisions: Array


@struct.dataclass
class RouterGraph:
    """A graph, its layout, and what of it is hidden; a pytree whose arrays may live on any device.

    What `visibility` hides comes out of `edges` as zeros; `visibility.decisions` masks the history.

    Attributes:
      style: what is measured of the answers' texts, [queries, llms, features], NaN where not known.
    """

    graph: jraph.GraphsTuple
    style: Array
    visibility: Visibility
    layout: Layout = struct.field(pytree_node=False)

    def nodes(self, name: str) -> Array:
        """Features [nodes of the set, width]."""
        return self._all_nodes()[self.layout.node_range(name)]

    @property
    def width(self) -> int:
        """Of a node's features."""
        return self._all_nodes().shape[1]

    def with_nodes(self, name: str, features: Array) -> "RouterGraph":
        """The graph with other features of one node set."""
        at, nodes = self.layout.node_range(name), self._all_nodes()
        nodes = jnp.concatenate([nodes[: at.start], features, nodes[at.stop :]])
        return dataclasses.replace(self, graph=self.graph._replace(nodes=nodes))

    def edges(self, name: str) -> EdgeSet:
        """A world edge set with hidden edges zeroed; the history as it is, for `graph.history.only` to mask."""
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
        """The graph as a user-blind router sees it."""
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
    """Nothing hidden."""
    queries = np.ones(layout.num("query"), np.float32)
    return Visibility(queries, queries, np.ones((layout.users, layout.decisions), np.float32))


def hide(graph: RouterGraph, visibility: Visibility) -> RouterGraph:
    """The graph of which the model sees no more than `visibility` says."""
    return dataclasses.replace(graph, visibility=visibility)


def _range(sizes: tuple[int, ...], index: int) -> slice:
    start = sum(sizes[:index])
    return slice(start, start + sizes[index])
