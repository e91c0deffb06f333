"""`UnseenReader`: states of users who decided on queries that training did not have; equations in `unseen_queries`."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from prouter_jax.compilation import jit_program
from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import build_store
from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.graph.history import batch_histories, informative_feedback, mask_feedback
from prouter_jax.graph.world import World, only_users
from prouter_jax.model.known_users import KnownUsers, similar_columns
from prouter_jax.model.network import Architecture
from prouter_jax.model.query_kernel import KnownQueryKernel, make_query_kernel, regression_weights, solution_matrix
from prouter_jax.model.similar_users import known_utilities, log_agreement
from prouter_jax.model.unseen_queries import (
    ChoicePrediction,
    drop_padding,
    mode_with_unseen,
    thumb_kappa,
    unexpected_variance,
    weaken,
)

_USERS_AT_ONCE = 16
_INFERENCE_STEPS = 12  # Newton steps from the prior mean, as for other histories


@dataclasses.dataclass(frozen=True)
class UnseenReader:
    """Reads histories with decisions on unseen queries.

    Attributes:
      network, params: the trained network.
      expected: function from features of queries to expected features of the answers to them, and to what
        `query_kernel.kernel_to` returns for the landmarks.
      solution: the `query_kernel.solution_matrix` of the landmarks, which stand for all known queries here; None where
        choices are predicted from expected answers.
      answers: features of the answers to these, [known, llms, features].
      variance: of the utility of an answer that nobody observed.
      similar: the known users; None if the network has no similar users.
      known: weights of these, [users, features], and their choice probabilities on the known queries, [known, llms,
        users]; None without them.
    """

    network: Architecture
    params: dict
    expected: Callable[[QueryFeatures], tuple[np.ndarray, np.ndarray]]
    solution: Float[np.ndarray, "known known"] | None
    answers: jax.Array
    variance: jax.Array
    similar: KnownUsers | None
    known: tuple[jax.Array, jax.Array] | None

    @property
    def size(self) -> int:
        """The number of features."""
        return self.answers.shape[2]

    def read(
        self,
        world: World,
        rows: Int[np.ndarray, " users"],
        unseen: Bool[np.ndarray, " queries"],
        answers: Float[np.ndarray, "first llms features"],
        places: QueryFeatures,
    ) -> Float[np.ndarray, "users width"]:
        """Computes the states of some users of a world: weights, and the columns of similar users.

        Args:
          rows: of the users.
          unseen: the unseen queries of the world.
          answers: features of the answers to the world's first queries, expected ones for unseen queries; others are
            unseen.
          places: features of the world's queries.
        """
        if len(answers) < len(unseen):
            answers = np.concatenate([answers, self.expected(places.take(slice(len(answers), None)))[0]])
        data = only_users(world.interactions, rows)
        weights, place = self._weights_of(places, np.flatnonzero(unseen))
        store = build_store(data)
        longest = padded_size(int(np.diff(store.users).max(initial=1)))
        batches = Batches(store, np.arange(len(unseen)), _USERS_AT_ONCE, longest, 0)
        padded = -(-len(rows) // _USERS_AT_ONCE) * _USERS_AT_ONCE
        other = np.ones((padded, len(self.similar.ids) if self.similar else 0), np.float32)
        if self.similar is not None:
            other[: len(rows)] = data.users.ids[:, None] != self.similar.ids
        states = []
        for start in range(0, len(rows), _USERS_AT_ONCE):
            some = np.arange(start, start + _USERS_AT_ONCE)
            batch = batches.of_decisions(*batches.decisions_of(np.where(some < len(rows), some, -1), 0))
            is_unseen = unseen[batch["query"]] * (batch["shown"] > 0)
            candidates = answers[batch["query"][..., None], batch["llm"]]
            at = np.where(is_unseen, np.arange(longest), -1)
            of_users = (batch, candidates, at, place[batch["query"]])
            agreement = self.agreement(*of_users, weights)
            states.append(self.read_batch(*of_users, weights, agreement, other[some]))
        return np.concatenate(states)[: len(rows)]

    def read_batch(
        self,
        batch: dict[str, np.ndarray],
        candidates: Float[np.ndarray, "users decisions candidates features"],
        at: Int[np.ndarray, "users predicted"],
        place: Int[np.ndarray, "users predicted"],
        weights: Float[np.ndarray, "unseen known"],
        agreement: Float[np.ndarray, "users known_users"],
        other: Float[np.ndarray, "users known_users"],
    ) -> Float[np.ndarray, "users width"]:
        """Computes the states of a batch of users; a program is compiled for each shape.

        Args:
          batch: histories, as in `data.batches.Batches.rows`.
          candidates: features of the candidates' answers, expected ones for unseen queries.
          at: each user's decisions on unseen queries; -1 for padding.
          place: row of the query of each of these in `weights`.
          weights: what `ask` returns for the unseen queries.
          agreement: what `agreement` returns for these users.
          other: 0 where the known user is the user, else 1.
        """
        by_share, of_users = self.solution is not None, (batch, candidates, at, place, agreement, other)
        return np.asarray(_read(self.network, by_share, self.params, self.answers, self.variance, weights, of_users))

    def agreement(
        self,
        batch: dict[str, np.ndarray],
        candidates: Float[np.ndarray, "users decisions candidates features"],
        at: Int[np.ndarray, "users predicted"],
        place: Int[np.ndarray, "users predicted"],
        weights: Float[np.ndarray, "unseen known"],
    ) -> Float[np.ndarray, "users known_users"]:
        """Returns how well each known user explains the choices of a batch of users; a sum over their decisions.

        Args:
          batch, candidates, at, place, weights: as of `read_batch`.
        """
        if self.known is None:
            return np.zeros((len(at), 0), np.float32)
        of_users = (batch, candidates, at, place)
        return np.asarray(_agreement(self.network, self.params, self.known, weights, of_users))

    def ask(
        self, places: QueryFeatures
    ) -> tuple[Float[np.ndarray, "queries llms features"], Float[np.ndarray, "queries known"]]:
        """Returns the expected features of the answers to queries, and the weights of the known queries in predictions.

        The weights are zeros where choices are not predicted.

        Args:
          places: features of the queries.
        """
        answers, nearness = self.expected(places)
        if self.solution is None:
            return answers, np.zeros((len(places.task), len(self.answers)), np.float32)
        return answers, regression_weights(self.solution, nearness)

    def _weights_of(self, places: QueryFeatures, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the known queries for each unseen one, padded; and the row there of each query of the world."""
        place = np.zeros(len(places.task), np.int32)
        place[rows] = np.arange(len(rows))
        weights = np.zeros((padded_size(len(rows)), len(self.answers)), np.float32)
        weights[: len(rows)] = self.ask(places.take(rows))[1]
        return weights, place


def make_unseen_reader(
    network: Architecture,
    params: dict,
    kernel: KnownQueryKernel,
    noise: jax.Array | float,
    of_landmarks: tuple[QueryFeatures, Float[np.ndarray, "landmarks llms width"], Float[Array, "known llms features"]],
    expected: Callable[[QueryFeatures], tuple[np.ndarray, np.ndarray]],
    by_share: bool,
    similar: KnownUsers | None,
) -> UnseenReader:
    """Makes the reader; it compares with the landmarks alone, whatever the number of known queries.

    Args:
      kernel: over the known queries.
      noise: its noise.
      of_landmarks: features of the landmarks, states of the answers to them, and deviations of the features of all
        known answers from the means of their LLM on their task.
      by_share: whether choice probabilities on new queries are regressed.
    """
    places, answers, deviations = of_landmarks
    if kernel.low_rank is not None:
        kernel = make_query_kernel(places, kernel.num_tasks, kernel.scales, noise, np.arange(len(answers)))
    features = jax.device_put(answers[..., : deviations.shape[-1]])
    variance = _unexpected_variance(network, params, deviations)
    params, known = jax.device_put(params), None  # once, not with each call
    if similar is not None:
        weights = jax.device_put(similar.mixer.known)
        known = weights, _shares(network, features, weights)
    solution = np.asarray(solution_matrix(kernel)) if by_share else None
    return UnseenReader(network, params, expected, solution, features, variance, similar, known)


@functools.partial(jit_program, static_argnums=0)
def _unexpected_variance(network: Architecture, params: dict, deviations: jax.Array) -> jax.Array | float:
    bound = network.bind(params)
    return 0.0 if bound.rounds is None else unexpected_variance(deviations, bound.population(bound.rounds))


@functools.partial(jax.jit, static_argnums=0)
def _shares(network: Architecture, answers: jax.Array, known: jax.Array) -> jax.Array:
    return jax.nn.softmax(known_utilities(known, answers, jnp.float32(network.tuned()[0].sharpness)), 1)


@functools.partial(jit_program, static_argnums=(0, 1))
def _read(network: Architecture, by_share: bool, params: dict, answers, variance, weights, of_users) -> jax.Array:
    """States of a batch of users, [users, width]; arguments as of `UnseenReader.read_batch`."""
    batch, candidates, at, place, agreement, other = of_users
    bound, histories = network.bind(params), batch_histories(batch)
    rounds = bound.rounds
    if rounds is None:
        raise ValueError("expected a network with Bayesian rounds, found none")
    population, features = bound.population(rounds), rounds.sizes.features
    feedback = jax.vmap(mask_feedback)(histories.feedback, batch["shown"])

    def of_user(feedback, llm, candidates, at, place):
        feedback = informative_feedback(feedback, llm, rounds.sizes.llms)
        unseen = jnp.zeros(len(llm)).at[drop_padding(at, len(llm))].set(1.0, mode="drop")
        feedback = weaken(feedback, unseen, variance, population)
        prediction = ChoicePrediction(weights[place], answers, bound.sharpness())
        predicted = at if by_share else jnp.full_like(at, -1)
        one = (features, candidates, llm, feedback, predicted, prediction, population)
        kappa = thumb_kappa(feedback, unseen, variance, population)
        return mode_with_unseen(*one, steps=_INFERENCE_STEPS, kappa=kappa)

    users = jax.vmap(of_user)(feedback, histories.llm, candidates, at, place)
    if not agreement.shape[1]:
        return users
    length = feedback.target.sum((1, 2))
    return jnp.concatenate([users, similar_columns(network, params, agreement, length, other)], 1)


@functools.partial(jit_program, static_argnums=0)
def _agreement(network: Architecture, params: dict, similar, weights, of_users) -> jax.Array:
    """The `similar_users.log_agreement` of each known user; on unseen queries by its predicted choices."""
    batch, candidates, at, place = of_users
    histories = batch_histories(batch)
    feedback = jax.vmap(mask_feedback)(histories.feedback, batch["shown"])
    rounds, sizes = network.tuned()
    error, sharpness = sizes.bind(params).error(), jnp.float32(rounds.sharpness)
    known, shares = similar
    predicted = jnp.log(jnp.maximum(jnp.einsum("qk,klv->qlv", weights, shares), _LEAST))

    def of_user(feedback, llm, candidates, at, place):
        logits = sharpness * candidates @ known.T
        of_unseen = predicted[place[:, None], llm[at]]
        return log_agreement(logits.at[drop_padding(at, len(logits))].set(of_unseen, mode="drop"), feedback, error)

    return jax.vmap(of_user)(feedback, histories.llm, candidates, at, place)


_LEAST = 1e-6  # probability, before the logarithm


def padded_size(number: int) -> int:
    """The next power of two, at least 4: few shapes are compiled."""
    return max(4, 1 << (number - 1).bit_length())
