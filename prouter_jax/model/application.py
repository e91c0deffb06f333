"""A trained network applied to a world: what is computed once, and what of each new query and user."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from prouter_jax.compilation import jit_program
from prouter_jax.config import Model
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.query_features import QueryFeatures, in_parts, make_query_features
from prouter_jax.graph.history import read_histories
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.graph.world import World
from prouter_jax.model.answer_features import COST
from prouter_jax.model.encoded import Encoded, encode, with_expected
from prouter_jax.model.known_users import KnownUsers, make_known_users
from prouter_jax.model.landmarks import choose_landmarks
from prouter_jax.model.network import Architecture
from prouter_jax.model.one_user import OneUserReader
from prouter_jax.model.paper_network import GraphStates, Layers
from prouter_jax.model.preference_grid import PreferenceGrid, make_preference_grid
from prouter_jax.model.query_kernel import (
    KnownQueryKernel,
    coefficients,
    make_query_kernel,
    predict_values,
    scales_of,
)
from prouter_jax.model.unseen_histories import UnseenReader, make_unseen_reader


@dataclasses.dataclass(frozen=True)
class Application:
    """A network with its parameters in a world.

    Attributes:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms].
      by_share: whether choice probabilities on new queries are regressed, not the features of their answers.
      kernel: the kernel regression over known queries; None without Bayesian rounds.
      weights: its coefficients, [landmarks, llms, features].
      similar: the known users among whom similar ones are looked for; None unless the network uses them.
      unseen: the queries of the world that training did not have and of which no answer was observed, bool [queries].
      reader: makes the reader of histories on such queries, once; None without Bayesian rounds.
      preferences: of users who weigh nothing but effect and cost and whose feedback is choices; None for others.
    """

    network: Architecture
    params: dict
    world: World
    graph: RouterGraph
    price_factor: np.ndarray
    by_share: bool
    encoded: Encoded
    kernel: KnownQueryKernel | None = None
    weights: jax.Array | None = None
    similar: KnownUsers | None = None
    unseen: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, bool))
    reader: Callable[[], UnseenReader] | None = None
    preferences: PreferenceGrid | None = None

    def priced(self, answers: np.ndarray, cost: np.ndarray, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns answers and costs at current prices; only features of answers have the cost, states of layers do not.

        Args:
          answers: their states, [queries, llms, width].
          cost: their scaled costs at the prices of training, [queries, llms].
          task: row of each query's task, -1 for none, [queries].
        """
        cost = self.world.scale.reprice(cost, task, self.price_factor)
        if self.network.rounds is None:
            return answers, cost
        answers = np.array(answers)
        answers[..., COST] = cost
        return answers, answers[..., COST]

    def predict(self, places: QueryFeatures) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns the expected states and scaled costs of the answers to new queries.

        Where choice probabilities are regressed also the kernel values with the landmarks, else None.
        """
        parts, nearness, task = [], None, np.asarray(places.task)
        if self.encoded.rounds is not None:
            regress = functools.partial(predict_values, self.kernel, self.encoded.rounds.means, self.weights)
            expected, nearness = in_parts(regress, places)
            parts.append(expected)
        if self.encoded.messages is not None:
            message = functools.partial(_predict_answers, self.network.layers, self.params, self.encoded.messages)
            parts.append(in_parts(message, places))
        answers = np.concatenate(parts, -1)
        cost = answers[..., COST] if self.network.rounds is not None else np.asarray(self.encoded.mean_cost)[task]
        priced = self.priced(answers, cost, np.where(task < self.graph.layout.num("task"), task, -1))
        return *priced, nearness if self.by_share else None

    def read(self, world: World, graph: RouterGraph | None = None) -> np.ndarray:
        """Computes the states of the users of a world with the same LLMs and outcomes, [users, width].

        Args:
          world: its queries start with those of the network's; others are unseen.
          graph: the graph of that world; built if None.
        """
        # histories as long as the longest in this world: few shapes are compiled
        graph = world.build_graph(least_decisions=self.graph.layout.decisions) if graph is None else graph
        decisions, extra = world.interactions.decisions, len(world.interactions.queries.ids) - len(self.unseen)
        unseen = np.concatenate([self.unseen, np.ones(extra, bool)])
        rows = np.unique(decisions.user[unseen[decisions.query]])
        if self.reader is None or not len(rows):
            return self._read_known(world, graph)
        users = np.array(self._read_known(world, _without(graph, unseen)))
        reader, places = self.reader(), query_features_of(world, graph.layout.num("task"))
        size = reader.size
        answers = np.asarray(self.encoded.answers)[: len(self.unseen), :, :size]
        found = reader.read(world, rows, unseen, answers, places)
        users[rows, :size] = found[:, :size]
        users[rows, users.shape[1] - (found.shape[1] - size) :] = found[:, size:]
        return users

    def one_user_reader(self) -> OneUserReader | None:
        """Returns the reader of single users; None where the state of a user depends on more than its history."""
        if self.reader is None or self.preferences is not None or self.network.layers is not None:
            return None
        reader = self.reader()
        answers = np.asarray(self.encoded.answers)[: len(self.unseen), :, : reader.size]
        return OneUserReader(reader, answers, self.unseen, query_features_of(self.world, self.graph.layout.num("task")))

    def _read_known(self, world: World, graph: RouterGraph) -> np.ndarray:
        """As `read`, without the decisions that the graph does not show."""
        users, ids = self._own_states(graph), world.interactions.users.ids
        if self.similar is not None:
            users = np.concatenate([users, self.similar.columns(graph, self.encoded.answers, ids)], 1)
        decided = np.bincount(world.interactions.decisions.user, minlength=len(ids)) > 0
        return np.where(decided[:, None], users[: len(decided)], self.cold_start_user())

    def _own_states(self, graph: RouterGraph) -> np.ndarray:
        """States of a graph's users without the columns of similar users; no mode is sought where preferences count."""
        weights = None if self.preferences is None else self.preferences.read(graph, self.encoded.answers)
        if weights is not None and self.network.layers is None:
            return weights
        users = np.asarray(_read_users(self.network, self.params, graph, self.encoded.answers))
        return users if weights is None else np.concatenate([weights, users[:, weights.shape[1] :]], 1)

    def cold_start_user(self) -> np.ndarray:
        """Returns the state of a user without history, [width]."""
        user = np.array(self.encoded.cold_start_user)
        if self.preferences is not None:
            weights = self.preferences.cold_start_user()
            user[: len(weights)] = weights
        return user if self.similar is None else np.concatenate([user, self.similar.cold_start_columns()])


def apply_to_world(
    network: Architecture,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: Model,
    price_factor: np.ndarray | None = None,
    known_ids: np.ndarray | None = None,
    trained_queries: int | None = None,
) -> Application:
    """Computes all that scoring needs of a world besides its users, and fits the kernel regression.

    Args:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms]; None if no price changed.
      known_ids: of the users of training; None if the world's first users are these.
      trained_queries: number of queries in training, the world's first; None for all.
    """
    factor = np.ones(graph.layout.num("llm")) if price_factor is None else price_factor
    unseen, num_tasks = _unseen(world.interactions, trained_queries), graph.layout.num("task")
    known, by_share = np.flatnonzero(~unseen), model.unseen_queries == "share"
    encoded = encode(network, params, graph, known, by_share)
    applied = Application(network, params, world, graph, factor, by_share, encoded, unseen=unseen)
    rounds = encoded.rounds
    if rounds is None:
        return applied
    tuned = network.transfer is not None and params["accepted"] > 0
    scales, noise = scales_of(model.query_kernel), model.query_kernel.noise
    if tuned:
        scales, noise = network.tuned()[1].bind(params).kernel()
    places = query_features_of(world, num_tasks)
    landmarks = choose_landmarks(places.take(known), num_tasks, scales, model.query_kernel.landmarks)
    kernel = make_query_kernel(places.take(known), num_tasks, scales, noise, landmarks)
    weights = coefficients(kernel, rounds.deviations)
    ids = world.interactions.users.ids if known_ids is None else known_ids
    answers = np.asarray(encoded.answers)[known]
    similar = make_known_users(network, params, ids, jax.device_put(answers), kernel) if tuned else None
    expected = functools.partial(_expected, kernel, rounds.means, weights)
    if unseen.any():
        encoded = with_expected(encoded, np.flatnonzero(unseen), expected(places.take(unseen))[0])

    of_landmarks = (places.take(known[landmarks]), answers[landmarks], rounds.deviations)
    reader = functools.partial(
        make_unseen_reader, network, params, kernel, noise, of_landmarks, expected, by_share, similar
    )
    preferences = None if by_share else _make_preferences(network, params, graph, encoded.answers)
    applied = dataclasses.replace(applied, encoded=encoded, kernel=kernel, weights=weights)
    return dataclasses.replace(applied, similar=similar, reader=functools.cache(reader), preferences=preferences)


def _make_preferences(
    network: Architecture, params: dict, graph: RouterGraph, answers: jax.Array
) -> PreferenceGrid | None:
    """`Application.preferences`, with the prior of the users of a graph."""
    rounds = network.rounds
    if rounds is None or not rounds.features.only_effect_and_cost:
        return None
    if graph.layout.has_ratings or graph.layout.has_thumbs:
        return None
    return make_preference_grid(rounds, params).fitted(graph, answers)


def query_features_of(world: World, num_tasks: int) -> QueryFeatures:
    """Returns the features of the world's queries."""
    vectors, task = world.vectors, world.interactions.queries.task
    return make_query_features(vectors.query, vectors.query_style, task, num_tasks)


def _unseen(data: Interactions, trained_queries: int | None) -> np.ndarray:
    """`Application.unseen`."""
    unseen = np.zeros(len(data.queries.ids), bool)
    if trained_queries is not None:
        unseen[trained_queries:] = True
        unseen[data.outcomes.query] = False
    return unseen


def _expected(
    kernel: KnownQueryKernel, means: jax.Array, weights: jax.Array, places: QueryFeatures
) -> tuple[Float[np.ndarray, "queries llms features"], Float[np.ndarray, "queries landmarks"]]:
    """Expected features of the answers to new queries, at the prices of training; and the nearness to the landmarks."""
    return in_parts(functools.partial(predict_values, kernel, means, weights), places)


def _without(graph: RouterGraph, unseen: np.ndarray) -> RouterGraph:
    """The graph without the decisions on unseen queries, bool [queries without padding]."""
    shown, query = np.array(graph.visibility.decisions), np.asarray(read_histories(graph).query)
    padded = np.pad(unseen, (0, graph.layout.num("query") - len(unseen)))
    visible = dataclasses.replace(graph.visibility, decisions=shown * ~padded[query])
    return dataclasses.replace(graph, visibility=visible)


@functools.partial(jit_program, static_argnums=0)
def _read_users(network: Architecture, params: dict, graph: RouterGraph, answers: jax.Array) -> jax.Array:
    """Computes the states of the users of a graph, [users, width]."""
    return network.bind(params).read_users(graph, answers)


@functools.partial(jit_program, static_argnums=0)
def _predict_answers(layers: Layers, params: dict, states: GraphStates, places: QueryFeatures) -> jax.Array:
    """Expected states of the answers to new queries, from their texts and tasks."""
    vectors = jnp.pad(places.vectors, ((0, 0), (0, layers.width - places.vectors.shape[1])))
    return layers.bind(params).predict_answers(states.tasks, states.llms, vectors, jnp.asarray(places.task))
