"""Similar users: what known users whose choices agree with a history would choose.

Known user v with weights theta_v predicts the choice probabilities p_v. After a history of k choices of another user, v
has the weight

    w_v    proportional to  exp(sharpness(k) * sum over the history of log [(1 - error) p_v(choice) + error p(choice)])
    p      = mean of p_v over the known users

and the similar users together predict sum of w_v p_v for any answer: collaborative filtering with model predictions in
place of raw choices, so histories need no query in common. A user's own weights are never among those of the known
users: in-sample, each user would be most similar to itself.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prouter_jax.graph.history import HistoryFeedback, map_over_users, mask_feedback, read_histories
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.likelihood import choice_probabilities

_LEAST = 1e-6  # probability, before the logarithm
_NEVER = -1e9  # finite: where a user is the only known one, its weight is 1


def known_utilities(
    known: Float[Array, "known features"], answers: Float[Array, "queries llms features"], sharpness: Float[Array, ""]
) -> Float[Array, "queries llms known"]:
    """Returns the logits of the known users' choices.

    Args:
      known: weights of the known users.
      sharpness: inverse temperature of choices, in 1 / utility.
    """
    flat = answers.reshape(-1, answers.shape[-1])
    return sharpness * (flat @ known.T).reshape(*answers.shape[:2], len(known))


def log_agreement(
    logits: Float[Array, "decisions candidates known"], feedback: HistoryFeedback, error: Float[Array, ""]
) -> Float[Array, " known *users"]:
    """Returns how well each known user explains the choices of a history; equation in the module docstring.

    Args:
      logits: of the known users' choices among the candidates.
      feedback: of one user, or of users who share their queries as the last axis.
      error: probability that a choice is one of the mean known user.
    """
    if feedback.offered.ndim == 2:  # one user: the known users take the place of the axis of users
        shares = choice_probabilities(logits, feedback.offered[..., None])
        chosen = jnp.moveaxis((feedback.target[..., None] * shares).sum(1), -1, 0)
    else:
        chosen = jax.lax.map(
            lambda logit: (feedback.target * choice_probabilities(logit[..., None], feedback.offered)).sum(1),
            jnp.moveaxis(logits, -1, 0),
        )
    has_choice = feedback.target.sum(1)
    return (has_choice * jnp.log((1 - error) * chosen + error * chosen.mean(0) + _LEAST)).sum(1)


def read_agreement(
    graph: RouterGraph, logits: Float[Array, "queries llms known"], error: Float[Array, ""]
) -> tuple[Float[Array, "users known"], Float[Array, " users"]]:
    """Returns the `log_agreement` of every user of a graph, and the numbers of their choices."""

    def of_user(logits, feedback, _, visible):
        feedback = mask_feedback(feedback, visible)
        return log_agreement(logits, feedback, error), feedback.target.sum((0, 1))

    return map_over_users(graph, of_user, logits, read_histories(graph), graph.visibility.decisions)


def similar_weights(
    agreement: Float[Array, "users known"], sharpness: Float[Array, " users"], other: Float[Array, "#users known"]
) -> Float[Array, "users known"]:
    """Returns the weights of the known users for each user.

    Args:
      sharpness: of the agreement, grows or falls with the length of the history.
      other: 0 where the known user is the user, else 1.
    """
    return jax.nn.softmax(jnp.where(other > 0, sharpness[:, None] * agreement, _NEVER), axis=-1)
