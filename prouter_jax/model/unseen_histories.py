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
from prouter_jax.data.query_features import QueryFeatures, in_parts
from prouter_jax.graph.history import Histories, batch_histories, informative_feedback, mask_feedback
from prouter_jax.graph.world import World, only_users
from prouter_jax.model.known_users import KnownUsers, similar_columns
from prouter_jax.model.network import Architecture
from prouter_jax.model.query_kernel import KnownQueryKernel, make_query_kernel, regression_weights
from prouter_jax.model.similar_users import known_utilities, log_agreement
from prouter_jax.model.unseen_queries import ChoicePrediction, mode_with_unseen, unexpected_variance, weaken

_USERS_AT_ONCE = 16
_INFERENCE_STEPS = 12  # Newton steps from the prior mean, as for other histories


@dataclasses.dataclass(frozen=True)
class UnseenReader:
    """Reads histories with decisions on unseen queries.

    Attributes:
      network, params: the trained network.
      expected: function from features of queries to expected features of the answers to them.
      kernel: over known queries, all of which are landmarks; None where choices are predicted from expected answers.
      answers: features of the answers to these, [known, llms, features].
      variance: of the utility of an answer that nobody observed.
      similar: the known users; None if the network has no similar users.
    """

    network: Architecture
    params: dict
    expected: Callable[[QueryFeatures], np.ndarray]
    kernel: KnownQueryKernel | None
    answers: jax.Array
    variance: jax.Array
    similar: KnownUsers | None

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
            answers = np.concatenate([answers, self.expected(places.take(slice(len(answers), None)))])
        data = only_users(world.interactions, rows)
        weights, place = self._weights(places, np.flatnonzero(unseen))
        store = build_store(data)
        longest = _padded_size(int(np.diff(store.users).max(initial=1)))
        batches = Batches(store, np.arange(len(unseen)), _USERS_AT_ONCE, longest, 0)
        padded = -(-len(rows) // _USERS_AT_ONCE) * _USERS_AT_ONCE
        other = np.ones((padded, len(self.similar.ids) if self.similar else 0), np.float32)
        if self.similar is not None:
            other[: len(rows)] = data.users.ids[:, None] != self.similar.ids
        states = []
        for start in range(0, len(rows), _USERS_AT_ONCE):
            some = np.arange(start, start + _USERS_AT_ONCE)
            batch = batches.of_decisions(*batches.decisions_of(np.where(some < len(rows), some, -1), 0))
            is_unseen = unseen[batch["query"]] * batch["shown"]
            candidates = answers[batch["query"][..., None], batch["llm"]]
            of_users = (batch, candidates, is_unseen, place[batch["query"]], other[some])
            states.append(np.asarray(self._read(weights, of_users)))
        return np.concatenate(states)[: len(rows)]

    def _weights(self, places: QueryFeatures, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the known queries for each unseen one, padded; and the row there of each query of the world."""
        place = np.zeros(len(places.task), np.int32)
        place[rows] = np.arange(len(rows))
        weights = np.zeros((_padded_size(len(rows)), len(self.answers)), np.float32)
        if self.kernel is not None:
            weights[: len(rows)] = in_parts(functools.partial(regression_weights, self.kernel), places.take(rows))
        return weights, place

    def _read(self, weights: np.ndarray, of_users: tuple) -> jax.Array:
        known = None if self.similar is None else self.similar.mixer.known
        by_share = self.kernel is not None
        return _read(self.network, by_share, self.params, self.answers, self.variance, known, weights, of_users)


def make_unseen_reader(
    network: Architecture,
    params: dict,
    kernel: KnownQueryKernel,
    noise: jax.Array | float,
    of_landmarks: tuple[QueryFeatures, Float[np.ndarray, "landmarks llms width"], Float[Array, "known llms features"]],
    expected: Callable[[QueryFeatures], np.ndarray],
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
    return UnseenReader(network, params, expected, kernel if by_share else None, features, variance, similar)


@functools.partial(jit_program, static_argnums=0)
def _unexpected_variance(network: Architecture, params: dict, deviations: jax.Array) -> jax.Array | float:
    bound = network.bind(params)
    return 0.0 if bound.rounds is None else unexpected_variance(deviations, bound.population(bound.rounds))


@functools.partial(jit_program, static_argnums=(0, 1))
def _read(
    network: Architecture, by_share: bool, params: dict, answers, variance, known, weights, of_users
) -> jax.Array:
    """States of a batch of users, [users, width]; arguments as in `UnseenReader`."""
    batch, candidates, unseen, place, other = of_users
    bound, histories = network.bind(params), batch_histories(batch)
    rounds = bound.rounds
    if rounds is None:
        raise ValueError("expected a network with Bayesian rounds, found none")
    population, features = bound.population(rounds), rounds.sizes.features
    feedback = jax.vmap(mask_feedback)(histories.feedback, batch["shown"])

    def of_user(feedback, llm, candidates, unseen, place):
        feedback = informative_feedback(feedback, llm, rounds.sizes.llms)
        feedback = weaken(feedback, unseen, variance, population)
        prediction = ChoicePrediction(weights[place] * unseen[:, None], answers, bound.sharpness())
        of_choices = unseen * by_share
        one = (features, candidates, llm, feedback, of_choices, prediction, population)
        return mode_with_unseen(*one, steps=_INFERENCE_STEPS)

    users = jax.vmap(of_user)(feedback, histories.llm, candidates, unseen, place)
    if known is None:
        return users
    agreement = _agreement(network, params, answers, known, weights, histories, feedback, candidates, unseen, place)
    length = feedback.target.sum((1, 2))
    return jnp.concatenate([users, similar_columns(network, params, agreement, length, other)], 1)


def _agreement(
    network: Architecture, params, answers, known, weights, histories: Histories, feedback, candidates, unseen, place
) -> jax.Array:
    """The `similar_users.log_agreement` of each known user; on unseen queries by its predicted choices."""
    rounds, sizes = network.tuned()
    error, sharpness = sizes.bind(params).error(), jnp.float32(rounds.sharpness)
    of_known = jax.nn.softmax(known_utilities(known, answers, sharpness), 1)
    predicted = jnp.log(jnp.maximum(jnp.einsum("qk,klv->qlv", weights, of_known), _LEAST))

    def of_user(feedback, llm, candidates, unseen, place):
        direct = sharpness * candidates @ known.T
        logits = jnp.where(unseen[:, None, None] > 0, predicted[place[:, None], llm], direct)
        return log_agreement(logits, feedback, error)

    return jax.vmap(of_user)(feedback, histories.llm, candidates, unseen, place)


_LEAST = 1e-6  # probability, before the logarithm


def _padded_size(number: int) -> int:
    """The next power of two, at least 4: few shapes are compiled."""
    return max(4, 1 << (number - 1).bit_length())
