"""`RouterModel`: from a graph to what every answer is worth to every user.

What a user chooses, it chooses after seeing the answers; a router must choose before. So the model
has two halves that meet in one softmax: the properties of an answer, predicted from task, query and
LLM states where the answer is not in the graph, and the user's weights on them, read from its history.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jraph
from flax import nnx, struct

from prouter_jax.config import Model
from prouter_jax.graph import RouterGraph
from prouter_jax.histories import Histories, only, over_users, read_histories, sum_by_llm
from prouter_jax.message_passing import WORLD_NODES, MessagePassing, observations
from prouter_jax.reader import CONSTANT, NUM_FIXED, HistoryReader, utilities


@struct.dataclass
class SharedStates:
    """What all users share, after message passing; enough to score queries that are not in the graph.

    The last row of everything by task is for queries without one.

    Attributes:
      tasks: [layers + 1, tasks + 1, dim], states before each layer and at the end.
      llms: [llms, dim].
      tastes: [readings, llms, taste_dim], before the first and after each message from the users.
      means: [tasks + 1, llms, 2], expected effect and scaled cost before a query's text is read.
    """

    tasks: jax.Array
    llms: jax.Array
    tastes: jax.Array
    means: jax.Array


@struct.dataclass
class RouterStates:
    """Everything that scoring needs: what is shared, and what follows for answers and users.

    Attributes:
      answers: [queries, llms, properties], observed effect and cost where visible, else predicted.
      predicted: the same, always predicted. Both without the LLMs' tastes, which `with_tastes` adds.
      users: theta [users, properties].
    """

    shared: SharedStates
    answers: jax.Array
    predicted: jax.Array
    users: jax.Array


class RouterModel(nnx.Module):
    """Graph in, `RouterStates` out; then `predict_answers` for new queries and `score` for decisions."""

    def __init__(self, config: Model, width: int, *, rngs: nnx.Rngs):
        dim = config.hidden_dim
        self.history_steps = config.history_steps
        self.encode = nnx.Dict({name: nnx.Linear(width, dim, rngs=rngs) for name in WORLD_NODES})
        self.encode_norm = nnx.Dict({name: nnx.LayerNorm(dim, rngs=rngs) for name in WORLD_NODES})
        self.layers = nnx.List([MessagePassing(dim, rngs=rngs) for _ in range(config.message_passing_steps)])
        self.answer = AnswerHead(dim, config.taste_dim, rngs=rngs)
        self.reader = HistoryReader(config.taste_dim)
        self.log_score_sharpness = nnx.Param(jnp.log(10.0))

    def __call__(self, graph: RouterGraph) -> RouterStates:
        """Message passing over all that is visible in the graph."""
        shared, queries, task = self._encode_world(graph)
        predicted = self.answer(queries, task, shared)
        answers = with_observed(predicted, *observed_outcomes(graph))
        users, tastes = self._exchange(graph, shared.tastes[0], answers)
        return RouterStates(dataclasses.replace(shared, tastes=tastes), answers, predicted, users)

    def read_users(self, graph: RouterGraph, shared: SharedStates, answers: jax.Array) -> jax.Array:
        """theta [users, properties] of the users of a graph whose LLMs and answers are known already."""
        histories, theta = read_histories(graph), self._population(graph.layout.users)
        for tastes in shared.tastes:
            theta = self._read(graph, histories, theta, with_tastes(answers, tastes), learning=False)[0]
        return theta

    def predict_answers(self, shared: SharedStates, vectors: jax.Array, task: jax.Array) -> jax.Array:
        """Properties [queries, llms, properties] of the answers to queries that nobody asked yet, without tastes.

        Args:
          vectors: text vectors padded to the node width, [queries, width].
          task: row of the task, or the number of tasks for none, [queries].
        """
        known = (task < shared.tasks.shape[1] - 1).astype(vectors.dtype)
        state = self._encoded("query", vectors)
        for layer, tasks in zip(self.layers, shared.tasks[:-1], strict=True):
            state = layer.lone_query(state, tasks[task], known)
        return self.answer(state, task, shared)

    def _encoded(self, name: str, features: jax.Array) -> jax.Array:
        return self.encode_norm[name](self.encode[name](features))

    def _encode_world(self, graph: RouterGraph) -> tuple[SharedStates, jax.Array, jax.Array]:
        """The world, query states [queries, dim] and each query's task row [queries]."""
        states = {name: self._encoded(name, graph.nodes(name)) for name in WORLD_NODES}
        tasks = [states["task"]]
        for layer in self.layers:
            states = layer(graph, states)
            tasks.append(states["task"])
        by_layer = jnp.pad(jnp.stack(tasks), ((0, 0), (0, 1), (0, 0)))
        belongs = graph.edges("task_to_query")
        task = jnp.where(belongs.weight > 0, belongs.senders, len(states["task"]))
        means = self.answer.shrunken_means(graph, states["llm"])
        tastes = self.answer.taste(states["llm"])[None]
        return SharedStates(by_layer, states["llm"], tastes, means), states["query"], task

    def _exchange(self, graph: RouterGraph, tastes: jax.Array, answers: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Messages between users and LLMs along the histories: theta, and the tastes of each reading."""
        histories, theta = read_histories(graph), self._population(graph.layout.users)
        readings = [tastes]
        for _ in self.layers[1:]:
            theta, *messages = self._read(graph, histories, theta, with_tastes(answers, readings[-1]), learning=False)
            readings.append(self.reader.taste_step(readings[-1], *jax.lax.stop_gradient((theta, *messages))))
        theta, *_ = self._read(graph, histories, theta, with_tastes(answers, readings[-1]), learning=True)
        return theta, jnp.stack(readings)

    def _read(self, graph: RouterGraph, histories: Histories, theta: jax.Array, answers: jax.Array, learning: bool):
        """theta after one reading; then, on the way to the last, the messages to the LLMs, [users, llms] each."""
        num_llms = graph.layout.num("llm")

        def read(answers, said, llm, visible, theta):
            said = only(said, visible)
            theta = self.reader.read(theta, answers, said, self.history_steps, learning)
            if learning:
                return (theta,)
            messages = self.reader.residuals(utilities(theta, answers), said)
            return theta, *[sum_by_llm(message, llm, num_llms) for message in messages]

        if not learning:
            answers = jax.lax.stop_gradient(answers)
        return over_users(graph, read, answers, histories, graph.visibility.decisions, theta)

    def _population(self, num_users: int) -> jax.Array:
        return jnp.broadcast_to(self.reader.mean[...], (num_users, self.reader.mean.shape[0]))


class AnswerHead(nnx.Module):
    """Properties of an answer: expected effect and cost, a constant, and tastes.

    Expected effect and cost start from means that are shrunk, the LLM's on the task towards the LLM's
    overall towards what its description says; the text of the query moves them from there.
    """

    def __init__(self, dim: int, taste_dim: int, *, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros_init()
        self.query = nnx.Linear(dim, dim, rngs=rngs)
        self.task = nnx.Linear(dim, dim, rngs=rngs)
        self.llm = nnx.Linear(dim, dim, rngs=rngs)
        self.both = nnx.Linear(dim, dim, rngs=rngs)
        # zero at first: the means are a good start, and a query's text has to earn its say
        self.move = nnx.Linear(dim, 2 + taste_dim, kernel_init=zeros, rngs=rngs)
        self.prior = nnx.Linear(dim, 2, kernel_init=zeros, bias_init=lambda *_: jnp.array([0.5, 0.3]), rngs=rngs)
        self.taste = nnx.Linear(dim, taste_dim, rngs=rngs)
        self.log_weight = nnx.Param(jnp.log(jnp.array([[10.0, 10.0], [20.0, 20.0]])))

    def __call__(self, queries: jax.Array, task: jax.Array, shared: SharedStates) -> jax.Array:
        """Properties [queries, llms, 3 + taste_dim] for query states [queries, dim] and task rows [queries]."""
        context = jax.nn.relu(self.query(queries) + self.task(shared.tasks[-1])[task])
        pair = jax.nn.relu(self.both(context)[:, None, :] + self.llm(shared.llms)[None, :, :])
        move = self.move(pair)
        effect_cost = shared.means[task] + move[..., :2]
        return jnp.concatenate([effect_cost, jnp.ones_like(move[..., :1]), move[..., 2:]], -1)

    def shrunken_means(self, graph: RouterGraph, llms: jax.Array) -> jax.Array:
        """[tasks + 1, llms, 2]: (sum of observed + weight * broader mean) / (count + weight), twice."""
        edges, num_tasks, num_llms = graph.edges("query_to_llm"), graph.layout.num("task"), len(llms)
        belongs = graph.edges("query_to_task")
        task = jnp.where(belongs.weight > 0, belongs.receivers, num_tasks)[edges.query]
        cell = task * num_llms + edges.receivers
        by_task = jraph.segment_sum(observations(edges), cell, (num_tasks + 1) * num_llms)
        by_task = by_task.reshape(num_tasks + 1, num_llms, 4)
        overall = self._shrunk(by_task.sum(0), self.prior(llms), 0)
        on_task = self._shrunk(by_task[:-1], overall[None], 1)
        return jnp.concatenate([on_task, overall[None]])

    def _shrunk(self, sums: jax.Array, broader: jax.Array, level: int) -> jax.Array:
        weight = jnp.exp(self.log_weight[level])
        return (sums[..., :2] + weight * broader) / (sums[..., 2:] + weight)


def score(users: jax.Array, answers: jax.Array) -> jax.Array:
    """Expected utility of the candidates, [decisions, llms].

    Args:
      users: theta of each decision's user, [decisions, properties].
      answers: properties of the answers to each decision's query, tastes included, [decisions, llms, properties].
    """
    return jnp.einsum("da,dla->dl", users, answers)


def observed_outcomes(graph: RouterGraph) -> tuple[jax.Array, jax.Array]:
    """Effect and cost, and whether each is known, as [queries, llms, 2] each, from the visible outcome edges."""
    edges = graph.edges("query_to_llm")
    cell = edges.query * graph.layout.num("llm") + edges.receivers
    shape = (graph.layout.num("query"), graph.layout.num("llm"), 4)
    table = jraph.segment_sum(observations(edges), cell, shape[0] * shape[1]).reshape(shape)
    return table[..., :2], table[..., 2:]


def with_observed(predicted: jax.Array, effect_cost: jax.Array, known: jax.Array) -> jax.Array:
    """Puts observed effects and costs in the place of predicted ones."""
    seen = jnp.where(known > 0, effect_cost, predicted[..., :CONSTANT])
    return jnp.concatenate([seen, predicted[..., CONSTANT:]], -1)


def with_tastes(answers: jax.Array, tastes: jax.Array) -> jax.Array:
    """Adds the LLMs' tastes [llms, taste_dim] to properties [..., llms, properties]."""
    return answers + jnp.pad(tastes, ((0, 0), (NUM_FIXED, 0)))
