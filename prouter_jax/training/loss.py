"""What a training step hides, so that it must be foreseen from the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.config import WARM, ExperimentConfig
from prouter_jax.graph.history import only, over_users, read_histories
from prouter_jax.graph.schema import RouterGraph, Visibility, hide
from prouter_jax.model.paper_network import GraphModel
from prouter_jax.model.posterior import log_choice_probabilities, utilities


@dataclasses.dataclass(frozen=True)
class Masking:
    """How a step chooses what to hide; see `config.Train`."""

    folds: int
    whole_queries: bool
    full_history_share: float
    no_task_share: float
    text_noise: float


def make_masking(config: ExperimentConfig) -> Masking:
    """What is hidden matches what is tested: whole queries if those of the test are new, else decisions."""
    train = config.train
    shares = (train.full_history_share, train.no_task_share, train.text_noise)
    return Masking(train.folds, config.data.split not in WARM, *shares)


def choose_masked(
    graph: RouterGraph, masking: Masking, step: jax.Array, key: jax.Array
) -> tuple[Visibility, jax.Array]:
    """What a step may see, and which decisions [users, decisions] it must foresee.

    Each pass of `folds` steps hides every query (or, where test queries are known ones, every
    decision) once. A user shows all its other decisions or a part, down to none.
    """
    layout, seen = graph.layout, graph.visibility
    pass_key = jax.random.fold_in(key, step // masking.folds)
    task_key, length_key, keep_key = jax.random.split(jax.random.fold_in(key, 2**30 + step), 3)
    if masking.whole_queries:
        fold = jax.random.permutation(pass_key, layout.num("query")) % masking.folds
    else:
        # a draw for each, not a permutation of all: the mesh decides how many users there are with padding
        fold = jax.random.randint(pass_key, (layout.users, layout.decisions), 0, masking.folds)
    hidden = (fold == step % masking.folds).astype(jnp.float32)
    query = jnp.broadcast_to(read_histories(graph).query, (layout.users, layout.decisions))
    scored = hidden[query] if masking.whole_queries else hidden
    length = _history_shares(length_key, layout.users, layout.decisions, masking.full_history_share)
    shown = jax.random.uniform(keep_key, scored.shape) < length[:, None]
    decisions = seen.decisions * (1 - scored) * shown
    if not masking.whole_queries:
        return dataclasses.replace(seen, decisions=decisions), scored
    no_task = hidden * (jax.random.uniform(task_key, hidden.shape) < masking.no_task_share)
    return Visibility(seen.outcomes * (1 - hidden), seen.tasks * (1 - no_task), decisions), scored


def blur_texts(graph: RouterGraph, amount: float, key: jax.Array) -> RouterGraph:
    """Adds noise of norm `amount` (a text vector has norm 1) to the queries' texts.

    What is learnt of a text then holds for texts near it: with few queries a network learns each by heart.
    """
    texts = graph.nodes("query")
    noise = jax.random.normal(key, texts.shape) * (amount / np.sqrt(texts.shape[1]))
    return graph.with_nodes("query", texts + noise)


def _history_shares(key: jax.Array, num_users: int, longest: int, full: float) -> jax.Array:
    """Share of its decisions that each user shows [users]: all, or evenly spread over orders of magnitude."""
    all_key, share_key = jax.random.split(key)
    part = jnp.exp(-jax.random.uniform(share_key, (num_users,)) * jnp.log(2.0 * longest))
    return jnp.where(jax.random.uniform(all_key, (num_users,)) < full, 1.0, part)


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
    def of_user(answers, feedback, _, scored, user):
        feedback, score = only(feedback, scored), utilities(user, answers)
        share = log_choice_probabilities(sharpness * score, feedback.offered)
        found = [-(feedback.target * share).sum((0, 1)), feedback.target.sum((0, 1))]
        for value, given in ((feedback.rating, feedback.rated), (feedback.thumb, feedback.thumbed)):
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
