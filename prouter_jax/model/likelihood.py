"""How much users liked the answers on offer, and the mean messages along their histories that follow from it.

The weight of a history edge is what was chosen against what else was offered, (share of the choice - even share), plus
what was rated against the user's other ratings, and thumbs against its other thumbs. It sums to nothing over what a
user likes equally well.
"""

import jax
import jax.numpy as jnp

from prouter_jax.graph.history import HistoryFeedback, only, over_users, read_histories
from prouter_jax.graph.schema import RouterGraph

_CAUTION = 3.0  # decisions without a say that every mean has beside the visible ones: few say little


def mean_feedback_message(graph: RouterGraph, messages: jax.Array) -> jax.Array:
    """What reaches each user from the answers it met, [users, dim].

    Args:
      messages: of every answer, [queries, llms, dim].
    """

    @jax.checkpoint
    def of_user(answers, feedback, _, visible):
        feedback = only(feedback, visible)
        weight = feedback_weights(feedback)
        flat = answers.reshape(-1, answers.shape[-1])
        total = flat.T @ weight.reshape(len(flat), *weight.shape[2:])
        return total / (feedback.offered.max(1).sum(0) + _CAUTION)

    return over_users(graph, of_user, messages, read_histories(graph), graph.visibility.decisions)


def feedback_weights(feedback: HistoryFeedback) -> jax.Array:
    """The weight of each candidate, the shape of `said`, zero where nothing was said."""
    chosen = feedback.target.sum(1, keepdims=True)
    weight = feedback.target - chosen * feedback.offered / jnp.maximum(feedback.offered.sum(1, keepdims=True), 1)
    for value, given in ((feedback.rating, feedback.rated), (feedback.thumb, feedback.thumbed)):
        if value is not None and given is not None:
            mean = (given * value).sum((0, 1)) / jnp.maximum(given.sum((0, 1)), 1)
            weight += given * (value - mean)
    return weight
