"""`Scorer`: scores LLMs for users and queries with a trained network; used by validation, evaluation and serving."""

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
from prouter_jax.model.cold_start import compare_with_known
from prouter_jax.model.network import EmNetwork, make_em_network
from prouter_jax.model.new_llms import extend_network
from prouter_jax.model.paper_network import GraphNetwork, GraphStates, make_graph_network
from prouter_jax.model.prior import mean_direction, prior_mean
from prouter_jax.model.query_kernel import KnownQueryKernel, SharePredictor, coefficients, kernel_to, make_query_kernel

Network = EmNetwork | GraphNetwork

_DECISIONS_AT_ONCE = 1 << 16  # bounds the memory of gathered answer features
_MAX_TRAINING_USERS = 1024  # of a batch, whose weights stay among the parameters, for the cold start of users


@dataclasses.dataclass(frozen=True)
class QueryBatch:
    """Queries prepared for scoring.

    Attributes:
      answers: features of the answers, observed or expected, float32 [queries, llms, features].
      cost: scaled cost of the answers, observed or expected, float32 [queries, llms].
      kernel: kernel values with known queries, [queries, known]; None unless choice probabilities are regressed.
      known: whether the query is in the world, so its answers were observed, bool [queries].
    """

    answers: np.ndarray
    cost: np.ndarray
    kernel: np.ndarray | None
    known: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A trained network applied to a world: states of its users and of the answers to its queries.

    The logits of a choice are sharpness * (user . answer features). For new queries they are computed from expected
    answer features, or regressed from the user's choice probabilities on known queries (`config.model.unseen_queries`).

    Attributes:
      users: weights of the users, float32 [users, features].
      cold_start_user: weights of a user without history, [features].
      answers, cost: of the answers to known queries, as in `QueryBatch`.
      predict: function from features of new queries to expected (answers, cost), as in `QueryBatch`.
      nearness: function from features of new queries to kernel values [queries, known]; None unless choice
        probabilities are regressed.
      unseen_queries: function (users, kernel, user, place) -> logits that regresses choice probabilities, see
        `query_kernel.SharePredictor.logits`; None with `nearness`.
      side: column of the feature "shown first"; None if the data does not say which answer was shown first.
      sharpness: inverse temperature of choices, in 1 / utility.
      named: columns of each answer feature in `users`, by its name; empty if states are not weights on features.
      read: function from another world with the same queries, LLMs and outcomes to the weights of its users, [users,
        features]; None where weights also depend on the other users.
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
        """Prepares new queries from their features."""
        kernel = None if self.nearness is None else self.nearness(places)
        return QueryBatch(*self.predict(places), kernel, np.zeros(len(places.task), bool))

    def recall(self, rows: np.ndarray) -> QueryBatch:
        """Prepares known queries.

        Args:
          rows: rows of the queries in the world, int [queries].
        """
        return QueryBatch(self.answers[rows], self.cost[rows], None, np.ones(len(rows), bool))

    def logits(self, users: np.ndarray, asked: QueryBatch, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Returns the logits of a choice among all LLMs, float32 [decisions, llms].

        Args:
          users: weights of users, [users, features].
          asked: the queries.
          user, place: rows of each decision's user in `users` and query in `asked`, [decisions].
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
        """Logits sharpness * (user . answer), computed for some decisions at a time."""
        found = np.empty((len(user), answers.shape[1]), np.float32)
        for start in range(0, len(user), _DECISIONS_AT_ONCE):
            some = slice(start, start + _DECISIONS_AT_ONCE)
            found[some] = np.einsum("da,dla->dl", users[user[some]], answers[place[some]], optimize=True)
        found *= self.sharpness
        return found


def join(first: QueryBatch, second: QueryBatch) -> QueryBatch:
    """Concatenates two batches of queries."""
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


def prepare_queries(scorer: Scorer, dataset: Dataset, queries: np.ndarray) -> tuple[QueryBatch, np.ndarray]:
    """Prepares queries of a data set: known ones with their observed answers, new ones from their text and task.

    Args:
      queries: rows of the queries in `dataset.data`, [queries].

    Returns:
      The prepared queries, known ones first, and the row of each query among them, [queries].
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
    """Returns the logits of every LLM for decisions of a data set, float32 [decisions, llms].

    Args:
      decisions: over the users and queries of `dataset.data`.
      blind: whether to score every user as one without history.
    """
    distinct, place = np.unique(decisions.query, return_inverse=True)
    asked, order = prepare_queries(scorer, dataset, distinct)
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
    """Makes the scorer of the EM network: infers users' weights and fits the kernel regression over known queries.

    Args:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms]; scales observed and expected costs.
      users: `Scorer.users` of an earlier scorer with these parameters in this world; inferred if None.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    by_share = model.unseen_queries == "share"
    every, answers, means, deviations, prior, cold_start_user = _encode(network, params, graph, count, by_share)
    kernel = make_query_kernel(_places(world, num_tasks), num_tasks, model.query_kernel)
    weights = coefficients(kernel, np.asarray(deviations)[kernel.rows])
    sharpness, cold_start_user = float(np.float32(network.sharpness)), np.asarray(cold_start_user)

    def priced(answers: np.ndarray, task: np.ndarray) -> np.ndarray:
        answers = np.array(answers)
        answers[..., COST] = world.scale.reprice(answers[..., COST], np.where(task < num_tasks, task, -1), price_factor)
        return answers

    def predict(places: QueryFeatures) -> tuple[np.ndarray, np.ndarray]:
        expected = in_parts(lambda some: _predict(kernel, means, weights, some), places)
        expected = priced(expected, np.asarray(places.task))
        return expected, expected[..., COST]

    def read(other: World) -> np.ndarray:
        # histories as long as the longest in this world: few shapes are compiled
        return states(other.interactions, other.build_graph(least_decisions=graph.layout.decisions))

    def states(data: Interactions, graph: RouterGraph) -> np.ndarray:
        inferred = np.asarray(_read_users(network, params, graph, every))
        if network.features.only_effect_and_cost and not (
            by_share or graph.layout.has_ratings or graph.layout.has_thumbs
        ):
            inferred = compare_with_known(network, params, graph, every, inferred, np.asarray(prior))
        decided = np.bincount(data.decisions.user, minlength=len(data.users.ids)) > 0
        return np.where(decided[:, None], inferred[: len(decided)], cold_start_user)

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
        side=network.features.shown_first_index if network.features.shown_first else None,
        sharpness=sharpness,
        named=network.features.columns_by_name(),
        read=read,
    )


def _places(world: World, num_tasks: int) -> QueryFeatures:
    vectors = world.vectors
    return make_query_features(vectors.query, vectors.query_style, world.interactions.queries.task, num_tasks)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _encode(network: EmNetwork, params: dict, graph: RouterGraph, count: int, by_share: bool):
    """Computes all that scoring needs of a world besides its users.

    Returns:
      Features of all answers, padding included; those of the answers to the `count` known queries; their means by task;
      their deviations from these; the prior mean of users' weights; the weights of a user without history, which are
      the prior mean if choice probabilities are regressed, else the mean direction of the training users.
    """
    every = network.answers(params, graph)
    answers, task, num_tasks = every[:count], tasks_of(graph)[:count], graph.layout.num("task")
    means = task_means(answers, jnp.ones_like(answers), task, num_tasks)
    prior = prior_mean(network.features, params["population_mean"])
    cold_start_user = prior if by_share else mean_direction(params["users"], params["has_history"])
    return every, answers, means, answers - means[task], prior, cold_start_user


@functools.partial(jax.jit, static_argnums=0)
def _read_users(network: EmNetwork, params: dict, graph: RouterGraph, answers: jax.Array) -> jax.Array:
    """Infers the weights of the users of a graph, [users, features]."""
    return network.read_users(params, graph, answers)


@jax.jit
def _predict(kernel: KnownQueryKernel, means: jax.Array, weights: jax.Array, places: QueryFeatures) -> jax.Array:
    """Expected features of the answers to new queries: the mean of the task plus the regressed deviation."""
    flat = kernel_to(kernel, places) @ weights.reshape(len(weights), -1)
    return means[places.task] + flat.reshape(-1, *weights.shape[1:])


def make_graph_scorer(
    network: GraphNetwork, params: dict, world: World, graph: RouterGraph, price_factor: np.ndarray
) -> Scorer:
    """Makes the scorer of the paper's network: passes messages once over the graph of the world.

    Args:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms]; scales the costs alone, for the
        states were trained on the prices of training.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    states, cost, mean_cost = _encode_graph(network, params, graph, count)
    mean_cost = np.asarray(mean_cost)

    def predict(places: QueryFeatures) -> tuple[np.ndarray, np.ndarray]:
        answers = in_parts(lambda some: _predict_graph(network, params, states, some), places)
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
def _encode_graph(
    network: GraphNetwork, params: dict, graph: RouterGraph, count: int
) -> tuple[GraphStates, jax.Array, jax.Array]:
    """Node states; scaled costs of the answers to the `count` known queries, gaps filled; mean costs by task."""
    values, seen = (x[..., COST] for x in measured(graph))
    task = tasks_of(graph)
    means = task_means(values, seen, task, graph.layout.num("task"))
    return network.bind(params)(graph), jnp.where(seen > 0, values, means[task])[:count], means


@functools.partial(jax.jit, static_argnums=0)
def _predict_graph(network: GraphNetwork, params: dict, states: GraphStates, places: QueryFeatures) -> jax.Array:
    vectors = jnp.pad(places.vectors, ((0, 0), (0, network.width - places.vectors.shape[1])))
    task = jnp.asarray(places.task)
    return network.bind(params).predict_answers(states.tasks, states.llms, vectors, task)


def make_network(experiment: config.ExperimentConfig, graph: RouterGraph, num_users: int) -> Network:
    """Makes the network of a configuration for the sizes of a graph.

    Args:
      num_users: number of users in the graph, without padding.
    """
    model, batch = experiment.model, experiment.train.users_per_step
    if model.preset != "em":
        return make_graph_network(model, graph)
    return make_em_network(model, graph, min(batch, _MAX_TRAINING_USERS) if batch else num_users)


def make_scorer(
    network: Network,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: config.Model,
    price_factor: np.ndarray | None = None,
    users: np.ndarray | None = None,
) -> Scorer:
    """Applies a network to a world with the LLMs of training; `extend` adds LLMs.

    Args:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms]; None if no price changed.
      users: as in `make_em_scorer`; the paper's network ignores it.
    """
    factor = np.ones(graph.layout.num("llm")) if price_factor is None else price_factor
    if isinstance(network, EmNetwork):
        return make_em_scorer(network, params, world, graph, model, factor, users)
    return make_graph_scorer(network, params, world, graph, factor)


def extend(network: Network, params: dict, graph: RouterGraph) -> tuple[Network, dict]:
    """Returns the network and parameters for a graph with more users, queries or LLMs; see `extend_network`.

    Args:
      graph: its rows start with those of the graph in training.
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
    """Applies a trained network to a world that may have more users, queries or LLMs than in training.

    Args:
      graph: the graph of the world.
      price_factor, users: as in `make_scorer`; `users` is ignored if the network had to be extended.
    """
    extended, params = extend(network, params, graph)
    if extended is network:
        return make_scorer(network, params, world, graph, model, price_factor, users)
    # the parameters of new LLMs depend on all users of the world, so no user's weights can be inferred alone
    return dataclasses.replace(make_scorer(extended, params, world, graph, model, price_factor), read=None)
