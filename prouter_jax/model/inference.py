"""From parameters and a world to scores of decisions: the same lines for validation, test and serving."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax import config
from prouter_jax.config import Model
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.query_features import QueryFeatures, in_parts, make_query_features
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.graph.world import World
from prouter_jax.model.answer_features import COST, measured, task_means, tasks_of
from prouter_jax.model.cold_start import compare_with_known, extend_network
from prouter_jax.model.network import EmNetwork, make_em_network
from prouter_jax.model.paper_network import GraphNetwork, GraphStates, make_graph_network
from prouter_jax.model.prior import middle, prior_mean
from prouter_jax.model.query_kernel import KnownQueryKernel, SharePredictor, coefficients, kernel_to, make_query_kernel

Network = EmNetwork | GraphNetwork

_DECISIONS_AT_ONCE = 1 << 16
_MOST_KEPT = 1024  # users of a batch whose states stay among the parameters, to compare newcomers with


@dataclasses.dataclass(frozen=True)
class QueryBatch:
    """Queries in the form that scoring needs.

    Attributes:
      answers: properties of the answers, observed or expected, float32 [queries, llms, properties].
      cost: scaled cost of the answers, observed or expected, float32 [queries, llms].
      kernel: nearness to known queries, [queries, known queries], where that is how they are judged; else None.
      known: bool [queries], whether the answers were observed.
    """

    answers: np.ndarray
    cost: np.ndarray
    kernel: np.ndarray | None
    known: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A trained network applied to a world.

    Attributes:
      users: float32 [users, properties]; `stranger` [properties] is a user without history.
      answers, cost: of the answers to known queries, as in `Asked`.
      predict: what the answers to new queries are expected to be, Places -> (answers, cost).
      nearness: Places -> [queries, known queries], and
      foresight: how an unasked query is judged by known ones, (users, kernel, user, place) -> logits as in
        `logits`; both None where it is by its expected answers.
      side: the column of the answer that is shown first, None where nobody knows.
      sharpness: what utilities are multiplied with before the softmax.
      named: where in a user's state its weight on each property of answers stands, by the property's name; empty
        where states have no such meaning.
      read: states of the users of another world with the same queries, LLMs and outcomes, World -> [users,
        properties]; None where a state also depends on the other users.
    """

    users: np.ndarray
    cold_start_user: np.ndarray
    answers: np.ndarray
    cost: np.ndarray
    predict: Callable[[QueryFeatures], tuple[np.ndarray, np.ndarray]]
    nearness: Callable[[QueryFeatures], np.ndarray] | None
    unseen_queries: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None
    side: int | None
    sharpness: float
    named: Mapping[str, slice] = dataclasses.field(default_factory=dict)
    read: Callable[[World], np.ndarray] | None = None

    def ask(self, places: QueryFeatures) -> QueryBatch:
        """New queries."""
        kernel = None if self.nearness is None else self.nearness(places)
        return QueryBatch(*self.predict(places), kernel, np.zeros(len(places.task), bool))

    def recall(self, rows: np.ndarray) -> QueryBatch:
        """Known queries."""
        return QueryBatch(self.answers[rows], self.cost[rows], None, np.ones(len(rows), bool))

    def logits(self, users: np.ndarray, asked: QueryBatch, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Logits of the choice among all LLMs, float32 [decisions, llms].

        Args:
          users: [users, properties].
          user, place: rows of `users` and of `asked`, [decisions].
        """
        direct = np.ones(len(user), bool) if self.unseen_queries is None else asked.known[place]
        if direct.all():
            return self._products(users, asked.answers, user, place)
        found = np.empty((len(user), self.answers.shape[1]), np.float32)
        found[direct] = self._products(users, asked.answers, user[direct], place[direct])
        if self.unseen_queries is not None and asked.kernel is not None:
            found[~direct] = self.unseen_queries(users, asked.kernel, user[~direct], place[~direct])
        return found

    def _products(self, users: np.ndarray, answers: np.ndarray, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Logits by the answers themselves, some decisions at a time: each brings its answers along."""
        found = np.empty((len(user), answers.shape[1]), np.float32)
        for start in range(0, len(user), _DECISIONS_AT_ONCE):
            some = slice(start, start + _DECISIONS_AT_ONCE)
            found[some] = np.einsum("da,dla->dl", users[user[some]], answers[place[some]], optimize=True)
        found *= self.sharpness
        return found


def join(first: QueryBatch, second: QueryBatch) -> QueryBatch:
    """The queries of both, one after the other."""
    parts = [asked.kernel for asked in (first, second)]
    width = next((part.shape[1] for part in parts if part is not None), None)
    kernel = None
    if width is not None:
        sizes = (len(first.known), len(second.known))
        kernel = np.concatenate(
            [np.zeros((n, width), np.float32) if part is None else part for n, part in zip(sizes, parts, strict=True)]
        )
    columns = (np.concatenate([getattr(first, x), getattr(second, x)]) for x in ("answers", "cost", "known"))
    answers, cost, known = columns
    return QueryBatch(answers, cost, kernel, known)


def ask_prepared(scorer: Scorer, dataset: Dataset, queries: np.ndarray) -> tuple[QueryBatch, np.ndarray]:
    """Queries of `prepared.data` [queries], and where each of them stands in what is returned.

    A query of the world is asked with what was observed of it, any other by its text and task.
    """
    row = dataset.world_query[queries]
    new, known = queries[row < 0], row[row >= 0]
    order = np.argsort(np.argsort(row < 0, kind="stable"), kind="stable")
    if not len(new):
        return scorer.recall(known), order
    vectors, tasks = dataset.vectors, dataset.data.queries.task[new]
    places = make_query_features(vectors.query[new], vectors.query_style[new], tasks, len(dataset.data.tasks.ids))
    return join(scorer.recall(known), scorer.ask(places)), order


def score_decisions(scorer: Scorer, dataset: Dataset, decisions: DecisionArrays, blind: bool = False) -> np.ndarray:
    """Logits of every LLM for decisions over the users and queries of `prepared.data`, [decisions, llms].

    Args:
      blind: whether all users are taken for strangers.
    """
    distinct, place = np.unique(decisions.query, return_inverse=True)
    asked, order = ask_prepared(scorer, dataset, distinct)
    users = scorer.cold_start_user[None] if blind else scorer.users
    user = np.zeros(len(place), np.int64) if blind else decisions.user
    logits = scorer.logits(users, asked, user, order[place])
    if scorer.side is not None:
        rows = np.flatnonzero(decisions.first >= 0)
        logits[rows, decisions.first[rows]] += scorer.sharpness * users[user[rows], scorer.side]
    return logits


def make_em_scorer(
    network: EmNetwork,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: Model,
    price_factor: np.ndarray,
    users: np.ndarray | None = None,
) -> Scorer:
    """Reads every user of `graph`, which is that of `world`, and prepares messages from its queries to new ones.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; moves the costs that are foreseen.
      users: `Scorer.users` of an earlier scorer with these parameters in this world; read from histories if None.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    by_share = model.unseen_queries == "share"
    every, answers, means, beside, prior, cold_start_user = _encode(network, params, graph, count, by_share)
    kernel = make_query_kernel(_places(world, num_tasks), num_tasks, model.query_kernel)
    told = coefficients(kernel, np.asarray(beside)[kernel.rows])
    sharpness, cold_start_user = float(np.float32(network.sharpness)), np.asarray(cold_start_user)

    def priced(answers: np.ndarray, task: np.ndarray) -> np.ndarray:
        answers = np.array(answers)
        answers[..., COST] = world.scale.reprice(answers[..., COST], np.where(task < num_tasks, task, -1), price_factor)
        return answers

    def predict(places: QueryFeatures) -> tuple[np.ndarray, np.ndarray]:
        expected = in_parts(lambda some: _predict(kernel, means, told, some), places)
        expected = priced(expected, np.asarray(places.task))
        return expected, expected[..., COST]

    def read(other: World) -> np.ndarray:
        # histories as long as the longest in this world: few shapes are compiled
        return states(other.interactions, other.build_graph(least_decisions=graph.layout.decisions))

    def states(data: Interactions, graph: RouterGraph) -> np.ndarray:
        found = np.asarray(_read_users(network, params, graph, every))
        if network.columns.plain and not (by_share or graph.layout.has_ratings or graph.layout.has_thumbs):
            found = compare_with_known(network, params, graph, every, found, np.asarray(prior))
        decided = np.bincount(data.decisions.user, minlength=len(data.users.ids)) > 0
        return np.where(decided[:, None], found[: len(decided)], cold_start_user)

    answers = priced(answers, world.interactions.queries.task)
    return Scorer(
        users=states(world.interactions, graph) if users is None else users,
        cold_start_user=cold_start_user,
        answers=answers,
        cost=answers[..., COST],
        predict=predict,
        nearness=functools.partial(in_parts, functools.partial(kernel_to, kernel)) if by_share else None,
        unseen_queries=SharePredictor(kernel, jax.device_put(answers[kernel.rows]), sharpness).logits
        if by_share
        else None,
        side=network.columns.side if network.columns.sides else None,
        sharpness=sharpness,
        named=network.columns.named(),
        read=read,
    )


def _places(world: World, num_tasks: int) -> QueryFeatures:
    vectors = world.vectors
    return make_query_features(vectors.query, vectors.query_style, world.interactions.queries.task, num_tasks)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _encode(network: EmNetwork, params: dict, graph: RouterGraph, count: int, by_share: bool):
    """All that scoring takes from a world beside its users.

    Returns:
      all answers; those to the `count` known queries; their means by task and what is told beside these; the state of
      a user before its history is read, and the state that stands for a user without any: the same where shares are
      compared, the mean of the known users where utilities are.
    """
    every = network.answers(params, graph)
    answers, task, num_tasks = every[:count], tasks_of(graph)[:count], graph.layout.num("task")
    means = task_means(answers, jnp.ones_like(answers), task, num_tasks)
    prior = prior_mean(network.columns, params["population_mean"])
    cold_start_user = prior if by_share else middle(params["users"], params["has_history"])
    return every, answers, means, answers - means[task], prior, cold_start_user


@functools.partial(jax.jit, static_argnums=0)
def _read_users(network: EmNetwork, params: dict, graph: RouterGraph, answers: jax.Array) -> jax.Array:
    """States of the users of a graph, [users, properties], from their histories over these answers."""
    return network.read_users(params, graph, answers)


@jax.jit
def _predict(kernel: KnownQueryKernel, means: jax.Array, told: jax.Array, places: QueryFeatures) -> jax.Array:
    """Expected properties of the answers to new queries: the task's mean and what near queries say beside it."""
    flat = kernel_to(kernel, places) @ told.reshape(len(told), -1)
    return means[places.task] + flat.reshape(-1, *told.shape[1:])


def make_graph_scorer(
    network: GraphNetwork, params: dict, world: World, graph: RouterGraph, price_factor: np.ndarray
) -> Scorer:
    """Passes messages once over `graph`, which is that of `world`; scores are products of what comes of it.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; moves the expected costs alone, the states
        know an LLM by the prices it was met with.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    states, cost, mean_cost = _encode_scorer(network, params, graph, count)
    mean_cost = np.asarray(mean_cost)

    def predict(places: QueryFeatures) -> tuple[np.ndarray, np.ndarray]:
        answers = in_parts(lambda some: _predict_scorer(network, params, states, some), places)
        task = np.where(places.task < num_tasks, places.task, -1)
        return answers, world.scale.reprice(mean_cost[places.task], task, price_factor)

    return Scorer(
        users=np.asarray(states.users)[: len(world.interactions.users.ids)],
        cold_start_user=np.asarray(states.cold_start_user),
        answers=np.asarray(states.answers)[:count],
        cost=world.scale.reprice(np.asarray(cost), world.interactions.queries.task, price_factor),
        predict=predict,
        nearness=None,
        unseen_queries=None,
        side=None,
        sharpness=float(np.exp(params["head"]["log_sharpness"])),
    )


@functools.partial(jax.jit, static_argnums=(0, 3))
def _encode_scorer(
    network: GraphNetwork, params: dict, graph: RouterGraph, count: int
) -> tuple[GraphStates, jax.Array, jax.Array]:
    """States; scaled costs of the answers to the `count` known queries, gaps filled; their means by task."""
    values, known = (x[..., COST] for x in measured(graph))
    task = tasks_of(graph)
    means = task_means(values, known, task, graph.layout.num("task"))
    return network.bind(params)(graph), jnp.where(known > 0, values, means[task])[:count], means


@functools.partial(jax.jit, static_argnums=0)
def _predict_scorer(network: GraphNetwork, params: dict, states: GraphStates, places: QueryFeatures) -> jax.Array:
    vectors = jnp.pad(places.vectors, ((0, 0), (0, network.width - places.vectors.shape[1])))
    task = jnp.asarray(places.task)
    return network.bind(params).predict_answers(states.tasks, states.llms, vectors, task)


def make_network(experiment: config.ExperimentConfig, graph: RouterGraph, num_users: int) -> Network:
    """The network of a configuration for the world of a graph."""
    model, batch = experiment.model, experiment.train.users_per_step
    if model.preset != "em":
        return make_graph_network(model, graph)
    return make_em_network(model, graph, min(batch, _MOST_KEPT) if batch else num_users)


def make_scorer(
    network: Network,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: config.Model,
    price_factor: np.ndarray | None = None,
    users: np.ndarray | None = None,
) -> Scorer:
    """The network applied to a world, of which `graph` is the graph; not to LLMs it never met, see `meet`.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; None where none has changed.
      users: as of `make_bayes_scorer`; the paper's network computes states with everything else.
    """
    factor = np.ones(graph.layout.num("llm")) if price_factor is None else price_factor
    if isinstance(network, EmNetwork):
        return make_em_scorer(network, params, world, graph, model, factor, users)
    return make_graph_scorer(network, params, world, graph, factor)


def extend(network: Network, params: dict, graph: RouterGraph) -> tuple[Network, dict]:
    """The network and parameters for a world that has grown: more users, queries and LLMs, without training.

    Args:
      graph: of the world, whose rows start with those that the network was trained on.
    """
    if isinstance(network, EmNetwork):
        return extend_network(network, params, graph)
    return network, params


def apply_network(
    network: Network,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: config.Model,
    price_factor: np.ndarray | None = None,
    users: np.ndarray | None = None,
) -> Scorer:
    """A trained network in a world that may have grown since; nothing is trained.

    Args:
      price_factor, users: as of `make_scorer`; the states of users are of the world before it has grown.
    """
    extended, params = extend(network, params, graph)
    if extended is network:
        return make_scorer(network, params, world, graph, model, price_factor, users)
    # what is learnt of new LLMs depends on all users of the world, so none is read without the others
    return dataclasses.replace(make_scorer(extended, params, world, graph, model, price_factor), read=None)
