"""`KnownUsers`: the known users of a trained network, among whom those similar to a user are looked for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from prouter_jax.compilation import jit_program
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.mixed_choices import ChoiceMixer
from prouter_jax.model.network import Architecture
from prouter_jax.model.query_kernel import KnownQueryKernel, coefficients
from prouter_jax.model.similar_users import known_utilities, read_agreement, similar_weights


@dataclasses.dataclass(frozen=True)
class KnownUsers:
    """Known users of a network.

    Attributes:
      network, params: the network.
      ids: of the known users.
      mixer: their weights, and what they would choose.
    """

    network: Architecture
    params: dict
    ids: np.ndarray
    mixer: ChoiceMixer

    def columns(
        self, graph: RouterGraph, answers: Float[Array, "queries llms features"], ids: np.ndarray
    ) -> Float[np.ndarray, "users columns"]:
        """Returns the columns of the states of a graph's users that `mixed_choices` has beside their weights.

        Args:
          answers: features of the answers to the graph's queries.
          ids: of the graph's users, without padding.
        """
        other = np.ones((graph.layout.users, len(self.ids)), np.float32)
        other[: len(ids)] = ids[:, None] != self.ids
        return np.asarray(_columns(self.network, self.params, graph, answers, self.mixer.known, other))

    def cold_start_columns(self) -> Float[np.ndarray, " columns"]:
        """Returns the same columns of a user without history."""
        numbers, known = _numbers(self.network, self.params, jnp.zeros(1)), len(self.ids)
        return np.concatenate([np.full(known, 1 / known, np.float32), np.asarray(numbers)[0]])


def spaced(has_history: Float[Array, " users"], most: int) -> Int[Array, " known"]:
    """Returns the rows of `most` training users with a history, evenly spaced; traceable."""
    rows = jnp.argsort(has_history <= 0, stable=True)  # those with a history first
    number = (has_history > 0).sum()
    return rows[jnp.linspace(0, jnp.maximum(number - 1, 0), most).astype(jnp.int32)]


def make_known_users(
    network: Architecture,
    params: dict,
    ids: np.ndarray,
    answers: Float[Array, "queries llms features"],
    kernel: KnownQueryKernel,
) -> KnownUsers:
    """Chooses the known users, and regresses what they would choose.

    Args:
      ids: of the users of training, and maybe others after them.
      answers: features of the answers to the known queries.
      kernel: of the known queries.
    """
    rounds, transfer = network.tuned()
    rows = np.asarray(spaced(params["has_history"], transfer.known))
    known = np.asarray(params["users"])[rows]
    mean, weights = (np.asarray(x) for x in _regress(network, kernel, answers, known))
    mixer = ChoiceMixer(known, rounds.sharpness, mean, weights)
    return KnownUsers(network, params, ids[rows], mixer)


def similar_columns(
    network: Architecture,
    params: dict,
    agreement: Float[Array, "users known"],
    length: Float[Array, " users"],
    other: Float[Array, "users known"],
) -> Float[Array, "users columns"]:
    """Returns what `KnownUsers.columns` does.

    Args:
      agreement: `similar_users.log_agreement`.
      length: number of choices of each user.
      other: 0 where the known user is the user, else 1.
    """
    transfer = network.tuned()[1].bind(params)
    weights = similar_weights(agreement, transfer.agreement_sharpness(length), other)
    return jnp.concatenate([weights, _numbers(network, params, length)], 1)


@functools.partial(jit_program, static_argnums=0)
def _columns(network: Architecture, params: dict, graph: RouterGraph, answers, known, other) -> jax.Array:
    rounds, sizes = network.tuned()
    transfer = sizes.bind(params)
    logits = known_utilities(known, answers, jnp.float32(rounds.sharpness))
    agreement, length = read_agreement(graph, logits, transfer.error())
    return similar_columns(network, params, agreement, length, other)


@functools.partial(jax.jit, static_argnums=0)
def _numbers(network: Architecture, params: dict, length: Float[Array, " users"]) -> Float[Array, "users 2"]:
    """Weight of similar users, and factor on the logits."""
    transfer = network.tuned()[1].bind(params)
    return jnp.stack([transfer.similar_share(length), transfer.logit_scale(length)], 1)


@functools.partial(jit_program, static_argnums=0)
def _regress(network: Architecture, kernel: KnownQueryKernel, answers: jax.Array, known: jax.Array):
    """Mean choice probabilities of the known users [known, llms], and their coefficients [known, landmarks, llms]."""
    shares = jax.nn.softmax(known_utilities(known, answers, jnp.float32(network.tuned()[0].sharpness)), 1)
    mean = shares.mean(0)
    return mean.T, jnp.moveaxis(coefficients(kernel, shares - mean), -1, 0)
