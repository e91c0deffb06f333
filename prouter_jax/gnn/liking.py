"""How much users liked the answers on offer, and the mean messages along their histories that follow from it.

The weight of a history edge is what was chosen against what else was offered, (share of the choice - even share), plus
what was rated against the user's other ratings. It sums to nothing over what a user likes equally well.
"""

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.graph import RouterGraph
from prouter_jax.histories import Said, only, over_users, read_histories, sum_by_llm

_CAUTION = 3.0  # decisions without a say that every mean has beside the visible ones: few say little


@struct.dataclass
class Liked:
    """Weights of the messages from users to LLMs: each LLM's mean over the decisions in which it was on offer.

    Attributes:
      shares: [users, llms].
    """

    shares: jax.Array


def read_liked(graph: RouterGraph) -> Liked:
    """The weights of a graph's visible histories; no state changes them."""
    num_llms = graph.layout.num("llm")
    no_answers = jnp.zeros((graph.layout.num("query"), num_llms, 1))

    def of_user(_, said, llm, visible):
        said = only(said, visible)
        return tuple(sum_by_llm(x, llm, num_llms) for x in (liking(said), said.offered))

    liked, offered = over_users(graph, of_user, no_answers, read_histories(graph), graph.visibility.decisions)
    return Liked(liked / (offered.sum(0) + _CAUTION))


def mean_liked(graph: RouterGraph, messages: jax.Array) -> jax.Array:
    """What reaches each user from the answers it met, [users, dim].

    Args:
      messages: of every answer, [queries, llms, dim].
    """

    @jax.checkpoint
    def of_user(answers, said, _, visible):
        said = only(said, visible)
        weight = liking(said)
        flat = answers.reshape(-1, answers.shape[-1])
        total = flat.T @ weight.reshape(len(flat), *weight.shape[2:])
        return total / (said.offered.max(1).sum(0) + _CAUTION)

    return over_users(graph, of_user, messages, read_histories(graph), graph.visibility.decisions)


def liking(said: Said) -> jax.Array:
    """The weight of each candidate, the shape of `said`, zero where nothing was said."""
    chosen = said.target.sum(1, keepdims=True)
    weight = said.target - chosen * said.offered / jnp.maximum(said.offered.sum(1, keepdims=True), 1)
    if said.rating is None or said.rated is None:
        return weight
    mean = (said.rated * said.rating).sum((0, 1)) / jnp.maximum(said.rated.sum((0, 1)), 1)
    return weight + said.rated * (said.rating - mean)
