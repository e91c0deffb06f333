"""Graph network baseline after GraphRouter (Feng et al. 2024): tasks, queries and LLMs as nodes, without users."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, struct
from jaxtyping import Array, Float

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import best_shares, query_means
from prouter_jax.evaluation.baselines.descent import descend
from prouter_jax.evaluation.baselines.features import task_columns

_FAR = -1e9  # logit of an LLM without a reward


class GraphRouter:
    """Score = product of a query's and an LLM's states after two layers of message passing, in Flax.

    Edges of training queries and LLMs carry the mean reward over users. Each training step hides the edges of half of
    the queries and predicts which LLM has the highest reward there. All training edges are visible in scoring. Nodes
    start from text vectors, those of LLMs also from a trained vector.

    Args:
      hidden: width of a state.
      text_weight: factor on the text vectors of queries.
      learning_rate, weight_decay, steps: of AdamW on the whole graph.
    """

    name = "graph_router"

    def __init__(
        self,
        dataset: Dataset,
        hidden: int = 16,
        text_weight: float = 0.1,
        learning_rate: float = 0.003,
        weight_decay: float = 1.0,
        steps: int = 30,
        seed: int = 0,
    ):
        self._vectors, self._member = dataset.vectors, task_columns(dataset)
        self._text = text_weight * dataset.vectors.query
        self._hidden, self._rates, self._steps, self._seed = hidden, (learning_rate, weight_decay), steps, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        queries, rewards = query_means(train, len(self._member))
        observed = ~np.isnan(rewards)
        centred = np.where(observed, rewards - rewards[observed].mean(), 0) / (rewards[observed].std() + 1e-6)
        self._known = self._nodes(queries), jnp.asarray(observed, jnp.float32), jnp.asarray(centred, jnp.float32)
        vectors = self._vectors
        widths = (vectors.task.shape[1], vectors.query.shape[1], vectors.llm.shape[1])
        self._graph, params = nnx.split(GraphNetwork(*widths, rewards.shape[1], self._hidden, nnx.Rngs(self._seed)))
        tables = (*self._known, jnp.asarray(np.nan_to_num(best_shares(rewards)), jnp.float32))
        inputs = (tables, np.arange(self._steps), jax.random.key(self._seed), ())
        self._params = descend(_loss, self._graph, nnx.to_pure_dict(params), *inputs, *self._rates)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        queries, row = np.unique(decisions.query, return_inverse=True)
        nodes, observed, rewards = self._known
        network = nnx.merge(self._graph, self._params)
        return np.asarray(network(nodes, observed, rewards, self._nodes(queries)))[row]

    def _nodes(self, queries: np.ndarray) -> "Nodes":
        vectors = (self._vectors.task, self._text[queries], self._vectors.llm, self._member[queries])
        return Nodes(*(jnp.asarray(values, jnp.float32) for values in vectors))


@struct.dataclass
class Nodes:
    """Text vectors of the nodes, and the task of each query as a one-hot row: `member` [queries, tasks]."""

    task: jax.Array
    query: jax.Array
    llm: jax.Array
    member: jax.Array


class GraphNetwork(nnx.Module):
    """Encoders, two layers of message passing, and the product of the states."""

    def __init__(self, task: int, query: int, llm: int, num_llms: int, hidden: int, rngs: nnx.Rngs):
        self.task, self.query, self.llm = (nnx.Linear(width, hidden, rngs=rngs) for width in (task, query, llm))
        self.own = nnx.Param(0.1 * jax.random.normal(rngs.params(), (num_llms, hidden)))
        self.layers = nnx.List([GraphLayer(hidden, rngs) for _ in range(2)])
        self.head = nnx.Linear(hidden, hidden, rngs=rngs)

    def __call__(
        self,
        nodes: Nodes,
        observed: Float[Array, "known llms"],
        rewards: Float[Array, "known llms"],
        asked: Nodes,
    ) -> Float[Array, "asked llms"]:
        """Scores of all LLMs for the queries of `asked`, whose edges to LLMs are unknown.

        Args:
          nodes: the graph with the known queries.
          observed, rewards: 1.0 for each visible edge, and its reward; 0.0 elsewhere.
        """
        task, query, llm = self.task(nodes.task), self.query(nodes.query), self.llm(nodes.llm) + self.own[...]
        state, nothing = self.query(asked.query), jnp.zeros((len(asked.query), len(llm)))
        for layer in self.layers:
            state = layer.queries(state, asked.member, task, llm, nothing, nothing)
            after = layer.queries(query, nodes.member, task, llm, observed, rewards)
            task, llm = layer.tasks(task, nodes.member, query), layer.llms(llm, query, observed, rewards)
            query = after
        return self.head(state) @ llm.T / np.sqrt(llm.shape[1])


class GraphLayer(nnx.Module):
    """New states from a node's own state and the mean of the messages along its edges."""

    def __init__(self, hidden: int, rngs: nnx.Rngs):
        names = ("query", "task_to_query", "llm_to_query", "reward_to_query", "task", "query_to_task",
                 "llm", "query_to_llm", "reward_to_llm")  # fmt: skip
        widths = {name: 1 if name.startswith("reward") else hidden for name in names}
        self.maps = nnx.Dict({name: nnx.Linear(width, hidden, rngs=rngs) for name, width in widths.items()})

    def queries(self, state, member, task, llm, observed, rewards):
        """States of queries [queries, hidden], from tasks and LLMs."""
        messages = member @ self.maps["task_to_query"](task) + self._along(observed, rewards, llm, "llm", "query")
        return jax.nn.relu(self.maps["query"](state) + messages)

    def tasks(self, state, member, query):
        """States of tasks [tasks, hidden], from queries."""
        return jax.nn.relu(self.maps["task"](state) + _mean(member.T, self.maps["query_to_task"](query)))

    def llms(self, state, query, observed, rewards):
        """States of LLMs [llms, hidden], from queries."""
        return jax.nn.relu(self.maps["llm"](state) + self._along(observed.T, rewards.T, query, "query", "llm"))

    def _along(self, observed, rewards, sender, sender_name: str, name: str):
        """Mean over a node's visible edges of the message of the sender and of the edge's reward."""
        of_senders = _mean(observed, self.maps[f"{sender_name}_to_{name}"](sender))
        count = jnp.maximum(observed.sum(1, keepdims=True), 1)
        return of_senders + self.maps[f"reward_to_{name}"](rewards.sum(1, keepdims=True) / count)


def _mean(weights, values):
    return weights @ values / jnp.maximum(weights.sum(1, keepdims=True), 1)


def _loss(params, graph, tables, batch, key, settings):
    """Log loss of the best LLM on the queries whose edges are hidden in this step."""
    nodes, observed, rewards, best = tables
    visible = jax.random.bernoulli(key, 0.5, (len(observed), 1)).astype(jnp.float32)
    logits = nnx.merge(graph, params)(nodes, visible * observed, visible * rewards, nodes)
    logs = jax.nn.log_softmax(jnp.where(observed > 0, logits, _FAR))
    hidden = (1 - visible) * observed
    return -(hidden * best * logs).sum() / jnp.maximum((1 - visible).sum(), 1)
