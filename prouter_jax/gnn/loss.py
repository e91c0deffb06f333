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

    A thumb is taken for a rating of 1 or 0, with a mean of its own.

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
        for value, given in ((said.rating, said.rated), (said.thumb, said.thumbed)):
            if value is not None and given is not None:
                found += [(given * (value - score) ** 2).sum((0, 1)), given.sum((0, 1))]
        return tuple(found)

    found = over_users(graph, of_user, states.answers, read_histories(graph), scored, states.users)
    sums = [x.sum() for x in found]
    given = {"choice": True, "rating": graph.layout.has_ratings, "thumb": graph.layout.has_thumbs}
    names = [name for name, there in given.items() if there]
    parts = {
        name: total / jnp.maximum(count, 1) for name, total, count in zip(names, sums[::2], sums[1::2], strict=True)
    }
    return sum(parts.values(), jnp.zeros(())), parts
