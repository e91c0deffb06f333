"""Loss of what gradients train, and the masking of decisions and queries that a gradient step must predict."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from prouter_jax.config import WARM, ExperimentConfig
from prouter_jax.graph.history import map_over_users, mask_feedback, read_histories
from prouter_jax.graph.schema import RouterGraph, Visibility, hide
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import log_choice_probabilities, utilities
from prouter_jax.model.network import RouterNetwork


@dataclasses.dataclass(frozen=True)
class Masking:
    """How a step chooses what to mask; the fields of `config.Train`.

    Attributes:
      folds: every query or decision is masked once in so many steps.
      whole_queries: whether queries are masked with their outcomes; else single decisions.
      full_history_share: probability that a user's history is shown in full.
      no_task_share: probability that a masked query has no task.
      text_noise: norm of the noise on the queries' text embeddings.
    """

    folds: int
    whole_queries: bool
    full_history_share: float
    no_task_share: float
    text_noise: float


def make_masking(config: ExperimentConfig) -> Masking:
    """Makes the masking that matches the test split: whole queries if test queries are new, else decisions."""
    train = config.train
    shares = (train.full_history_share, train.no_task_share, train.text_noise)
    return Masking(train.folds, config.data.split not in WARM, *shares)


def choose_masked(
    graph: RouterGraph, masking: Masking, step: jax.Array, key: PRNGKeyArray
) -> tuple[Visibility, Float[Array, "users decisions"]]:
    """Chooses what a step sees and which decisions it predicts.

    A pass of `folds` steps masks every query, or every decision, once. Of the other decisions a user's history has all
    or a random share, down to none, so the network learns from histories of any length.

    Args:
      step: number of the step.
      key: the run's key; the same in all steps.

    Returns:
      The visibility, without the decisions to predict; 1 for the decisions to predict.
    """
    layout, seen = graph.layout, graph.visibility
    pass_key = jax.random.fold_in(key, step // masking.folds)
    task_key, length_key, keep_key = jax.random.split(jax.random.fold_in(key, 2**30 + step), 3)
    if masking.whole_queries:
        fold = jax.random.permutation(pass_key, layout.num("query")) % masking.folds
    else:
        # independent draws, not a permutation: the number of users includes padding, which depends on the mesh
        fold = jax.random.randint(pass_key, (layout.users, layout.decisions), 0, masking.folds)
    masked = (fold == step % masking.folds).astype(jnp.float32)
    query = jnp.broadcast_to(read_histories(graph).query, (layout.users, layout.decisions))
    scored = masked[query] if masking.whole_queries else masked
    length = _history_shares(length_key, layout.users, layout.decisions, masking.full_history_share)
    shown = jax.random.uniform(keep_key, scored.shape) < length[:, None]
    decisions = seen.decisions * (1 - scored) * shown
    if not masking.whole_queries:
        return dataclasses.replace(seen, decisions=decisions), scored
    no_task = masked * (jax.random.uniform(task_key, masked.shape) < masking.no_task_share)
    return Visibility(seen.outcomes * (1 - masked), seen.tasks * (1 - no_task), decisions), scored


def blur_texts(graph: RouterGraph, norm: float, key: PRNGKeyArray) -> RouterGraph:
    """Adds Gaussian noise to the queries' text embeddings, against overfitting to few queries.

    Args:
      norm: root mean square norm of the noise; a text embedding has norm 1.
    """
    texts = graph.nodes("query")
    noise = jax.random.normal(key, texts.shape) * (norm / np.sqrt(texts.shape[1]))
    return graph.with_nodes("query", texts + noise)


def routing_loss(
    network: RouterNetwork, graph: RouterGraph, visibility: Visibility, scored: Float[Array, "users decisions"]
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Loss of the scored decisions: cross entropy of choices plus squared errors of ratings and of thumbs.

    Each part is a mean over the feedback of its kind; a thumb counts as a rating of 1 or 0.

    Args:
      visibility: what the network sees; without the scored decisions.
      scored: 1 for the decisions to predict.

    Returns:
      The loss and its parts by name: "choice", "rating", "thumb".
    """
    states, sharpness, rounds = network(hide(graph, visibility)), network.sharpness(), network.rounds

    @jax.checkpoint
    def of_user(answers, feedback, _, scored, user):
        feedback = mask_feedback(feedback, scored)
        answers = answers if rounds is None else with_shown_first(rounds.sizes.features, answers, feedback)
        score = utilities(user, answers)
        log_share = log_choice_probabilities(sharpness * score, feedback.offered)
        sums = [-(feedback.target * log_share).sum((0, 1)), feedback.target.sum((0, 1))]
        for value, given in ((feedback.rating, feedback.rated), (feedback.thumb, feedback.thumbed)):
            if value is not None and given is not None:
                sums += [(given * (value - score) ** 2).sum((0, 1)), given.sum((0, 1))]
        return tuple(sums)

    by_user = map_over_users(graph, of_user, states.answers, read_histories(graph), scored, states.users)
    sums = [x.sum() for x in by_user]
    present = {"choice": True, "rating": graph.layout.has_ratings, "thumb": graph.layout.has_thumbs}
    names = [name for name, is_present in present.items() if is_present]
    parts = {
        name: total / jnp.maximum(count, 1) for name, total, count in zip(names, sums[::2], sums[1::2], strict=True)
    }
    return sum(parts.values(), jnp.zeros(())), parts


def _history_shares(key: PRNGKeyArray, num_users: int, longest: int, full: float) -> jax.Array:
    """Share of the decisions that each user's history shows: 1, or log-uniform from 1 / (2 longest) to 1; [users]."""
    all_key, share_key = jax.random.split(key)
    share = jnp.exp(-jax.random.uniform(share_key, (num_users,)) * jnp.log(2.0 * longest))
    return jnp.where(jax.random.uniform(all_key, (num_users,)) < full, 1.0, share)
