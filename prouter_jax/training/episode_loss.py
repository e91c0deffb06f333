"""Loss of the numbers that gradients train on top of EM: negative log-likelihood of an episode's decisions.

The episode's users are not among those of the EM whose parameters it is predicted with. Gradients of a user's weights
are the one-step implicit ones of `posterior.differentiable_mode`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.graph.history import Histories, batch_histories, mask_feedback
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import MIN_SHARE, Population, log_choice_probabilities
from prouter_jax.model.posterior import differentiable_mode
from prouter_jax.model.query_kernel import coefficients, kernel_to, make_query_kernel
from prouter_jax.model.similar_users import known_utilities, log_agreement, similar_weights
from prouter_jax.model.transfer import Transfer

_NEWTON_STEPS = 6  # from the prior mean; more change no prediction
# pull towards EM's values, in users
_SCALE_STRENGTH, _SHIFT_STRENGTH = 0.4, 2.0


@struct.dataclass
class Fitted:
    """What an EM without the users of an episode fitted.

    Attributes:
      population: prior and scales of the likelihood.
      answers: features of the answers to the episode's queries, or to all of the world, [queries, llms, features].
      users: weights of some of its users, [known, features].
    """

    population: Population
    answers: jax.Array
    users: jax.Array


def episode_loss(
    transfer: Transfer, fitted: Fitted, queries: QueryFeatures, num_tasks: int, episode: dict
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns the loss and the mean negative log-likelihood of a choice, in nats.

    The loss adds a pull of the prior towards EM's: `_SCALE_STRENGTH` and `_SHIFT_STRENGTH` users' worth of squares.

    Args:
      queries: features of the episode's queries.
      episode: see `data.episodes.Episodes.rows`.
    """
    losses, choices = user_losses(transfer, fitted, queries, num_tasks, episode)
    mean = losses.sum() / jnp.maximum(choices.sum(), 1)
    pull = _SCALE_STRENGTH * jnp.square(transfer.prior_scale[...]).sum()
    pull += _SHIFT_STRENGTH * jnp.square(transfer.prior_shift[...]).sum()
    return mean + pull / len(fitted.users), mean


def user_losses(
    transfer: Transfer, fitted: Fitted, queries: QueryFeatures, num_tasks: int, episode: dict
) -> tuple[Float[Array, " users"], Float[Array, " users"]]:
    """Returns the negative log-likelihood of each user's choices, in nats, and their number."""
    asked = batch_histories(episode["predicted"])
    logits = predict(transfer, fitted, queries, num_tasks, episode)
    feedback = jax.vmap(mask_feedback)(asked.feedback, episode["predicted"]["shown"])
    share = jax.vmap(log_choice_probabilities)(logits, feedback.offered)
    return -(feedback.target * share).sum((1, 2)), feedback.target.sum((1, 2))


def predict(
    transfer: Transfer, fitted: Fitted, queries: QueryFeatures, num_tasks: int, episode: dict
) -> Float[Array, "users predicted candidates"]:
    """Returns the logits of the candidates of an episode's decisions; arguments as of `episode_loss`."""
    features = transfer.sizes.features
    history, asked = (batch_histories(episode[name]) for name in ("history", "predicted"))
    length = history.feedback.target.sum((1, 2))
    theta = _read(transfer.population(fitted.population), fitted.answers, features, history)
    of_known = known_utilities(fitted.users, fitted.answers, fitted.population.sharpness)
    agreement = jax.vmap(log_agreement, (0, 0, None))(
        of_known[history.query[..., None], history.llm], history.feedback, transfer.error()
    )
    weights = similar_weights(agreement, transfer.agreement_sharpness(length), jnp.ones_like(agreement))
    sharpness = transfer.sharpness(fitted.population.sharpness)
    rows = episode["known"] if len(episode["hidden"]) else asked.query
    own = jax.nn.softmax(sharpness * jnp.einsum("up,...lp->u...l", theta, fitted.answers[rows]), -1)
    similar = jnp.einsum("uv,...lv->u...l", weights, jax.nn.softmax(of_known[rows], -2))
    if len(episode["hidden"]):
        regress = _regression(transfer, queries, num_tasks, episode["known"], episode["hidden"])
        place = episode["place"][..., None]
        own, similar = (jnp.take_along_axis(regress(shares), place, 1) for shares in (own, similar))
    else:
        own, similar = (jax.vmap(lambda x, u: x[u])(x, jnp.arange(len(theta))) for x in (own, similar))
    share, scale = transfer.similar_share(length)[:, None, None], transfer.logit_scale(length)[:, None, None]
    mixed = scale * jnp.log(jnp.maximum((1 - share) * own + share * similar, MIN_SHARE))
    logits = jnp.take_along_axis(mixed, episode["predicted"]["llm"].astype(jnp.int32), -1)
    if features.shown_first and asked.feedback.shown_first is not None:
        logits += sharpness * theta[:, None, None, features.shown_first_index] * asked.feedback.shown_first
    return logits


def _read(population: Population, answers: jax.Array, features: AnswerFeatures, history: Histories) -> jax.Array:
    """Weights of the users from their histories, differentiable in the population; [users, features]."""

    def of_user(query, llm, feedback):
        candidates = with_shown_first(features, answers[query[:, None], llm], feedback)
        return differentiable_mode(population.mean, candidates, feedback, population, _NEWTON_STEPS)

    return jax.vmap(of_user)(history.query, history.llm, history.feedback)


def _regression(transfer: Transfer, queries: QueryFeatures, num_tasks: int, known: jax.Array, hidden: jax.Array):
    """The function from choice probabilities on known queries to those on hidden ones, [users, queries, llms]."""
    scales, noise = transfer.kernel()
    kernel = make_query_kernel(queries.take(known), num_tasks, scales, noise, np.arange(len(known)))
    # fewer queries are hidden than users times LLMs are asked about: the hidden queries' side is solved, once
    weights = coefficients(kernel, kernel_to(kernel, queries.take(hidden)).T).T

    def regress(shares: jax.Array) -> jax.Array:
        mean = shares.mean(1, keepdims=True)
        return mean + jnp.einsum("hk,ukl->uhl", weights, shares - mean)

    return regress
