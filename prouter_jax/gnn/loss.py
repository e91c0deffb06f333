"""What training minimises: how badly hidden decisions were foreseen."""

import jax
import jax.numpy as jnp

from prouter_jax.bayes.reader import log_choice_probabilities, utilities
from prouter_jax.gnn.model import GraphModel
from prouter_jax.graph import RouterGraph, Visibility, hide
from prouter_jax.histories import only, over_users, read_histories


def routing_loss(
    model: GraphModel, graph: RouterGraph, visibility: Visibility, scored: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross entropy of choices among the candidates on offer plus squared error of ratings, means over what is scored.

    Args:
      visibility: what the model sees; none of the scored decisions.
      scored: [users, decisions], 1 for the decisions to foresee.

    Returns:
      The loss and its parts.
    """
    states = model(hide(graph, visibility))
    sharpness = jnp.exp(model.head.log_sharpness[...])

    @jax.checkpoint
    def of_user(answers, said, _, scored, user):
        said, score = only(said, scored), utilities(user, answers)
        share = log_choice_probabilities(sharpness * score, said.offered)
        found = [-(said.target * share).sum((0, 1)), said.target.sum((0, 1))]
        if said.rating is not None and said.rated is not None:
            error = said.rated * (said.rating - score) ** 2
            found += [error.sum((0, 1)), said.rated.sum((0, 1))]
        return tuple(found)

    found = over_users(graph, of_user, states.answers, read_histories(graph), scored, states.users)
    sums = [x.sum() for x in found]
    parts = {
        name: total / jnp.maximum(count, 1)
        for name, total, count in zip(("choice", "rating"), sums[::2], sums[1::2], strict=False)
    }
    return sum(parts.values(), jnp.zeros(())), parts
